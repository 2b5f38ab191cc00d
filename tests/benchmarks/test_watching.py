import json
import math

import pytest

from benchmarks.watching import Measured, Workload, interval, measure, report, rows_of
from tests.studio.browser import needs_chromium


def test_the_interval_is_students_over_the_logarithms_of_the_pairs():
    mean, low, high = interval([1.0, 1.0, 1.0, 1.0, 2.0])
    # The logarithms' mean is ln(2) / 5, their standard deviation ln(2) / sqrt(5), so the half width 2.776 ln(2) / 5.
    half = 2.776 * math.log(2) / 5
    assert math.log(mean) == pytest.approx(math.log(2) / 5)
    assert (math.log(low), math.log(high)) == pytest.approx((math.log(2) / 5 - half, math.log(2) / 5 + half), abs=1e-3)


def test_a_row_says_whether_the_page_was_late():
    on_time = rows_of([(Measured(2.0, [0.5, 1.0]), Measured(1.0, []))])
    assert on_time[0]["ratio"] == 2.0 and on_time[1]["worst"] == 1.0 and on_time[1]["met"]
    assert not rows_of([(Measured(2.0, [2.5]), Measured(1.0, []))])[1]["met"]


@pytest.mark.slow
@needs_chromium
def test_the_watching_benchmark_still_works(tmp_path):
    report(measure(Workload(pairs=1, epochs=200, preset="shapes")), tmp_path / "watching.json")
    cost, delay = json.loads((tmp_path / "watching.json").read_text())
    assert cost["ratio"] > 0 and delay["count"] > 0
