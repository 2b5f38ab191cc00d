import json

import pytest

from benchmarks.load import Timings
from benchmarks.prediction_log import Workload, measure, rows_of
from benchmarks.rows import report


def test_the_cost_is_the_mean_of_the_ratios_of_the_rounds_and_their_order_does_not_matter():
    pairs = [(Timings(one, 1, 2, 3, 1), Timings(other, 2, 3, 4, 1)) for one, other in ((100, 98), (50, 47), (80, 80))]
    rows = rows_of("case", pairs)
    assert rows[0]["ratio"] == pytest.approx((0.98 * 0.94 * 1) ** (1 / 3), abs=1e-3) and rows[0]["met"]
    assert rows == rows_of("case", pairs[::-1])
    assert (rows[1]["ours"], rows[1]["peer"], rows[2]["ours"]) == (2, 1, 4)


@pytest.mark.slow
def test_the_benchmark_of_the_prediction_log_still_works(tmp_path):
    load = Workload(seconds=0.3, rounds=1, loads=((2, 1),), size=(120, 160))
    report(measure(load), tmp_path / "rows.json")
    *_, told = json.loads((tmp_path / "rows.json").read_text())
    assert told["ours"] > 0 and told["peer"] == 0
