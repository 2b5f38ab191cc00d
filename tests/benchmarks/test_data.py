import json

import pytest

from benchmarks.data import Workload, measure
from benchmarks.rows import compare, report
from tests.drawn import draw

TINY = Workload((90, 160), packed=(36, 36), size=(32, 32), batch=4, packed_images=9, batches=1, rounds=1)


def test_the_input_benchmark_still_works(tmp_path, capsys):
    frames = [draw(tmp_path / f"{index}.jpg", index, 24, 42) for index in range(2)]
    report(measure(frames, TINY), tmp_path / "data.json")
    rows = json.loads((tmp_path / "data.json").read_text())
    assert list(rows[0]) == ["case", "ours", "peer", "peer_name", "unit", "ratio", "goal", "met"]
    assert [row["goal"] for row in rows] == [30, 12, 5, None, None, 1, 1, 1]
    assert all(row["ours"] > 0 and row["peer"] > 0 for row in rows)
    assert capsys.readouterr().out.count("\n") == 2 + len(rows)


@pytest.mark.parametrize(("goal", "met"), [(3, True), (4.1, False), (None, None)])
def test_a_row_holds_the_medians_of_alternating_rounds_and_whether_their_ratio_reaches_the_goal(goal, met):
    order = []
    ours, peer = iter([40.0, 90.0, 10.0]), iter([10.0, 8.0, 11.0])
    row = compare(
        "case",
        lambda: order.append("ours") or next(ours),
        lambda: order.append("peer") or next(peer),
        "peer",
        goal,
        rounds=3,
    )
    assert order == ["ours", "peer"] * 3
    assert (row["ours"], row["peer"], row["ratio"], row["met"]) == (40.0, 10.0, 4.0, met)
