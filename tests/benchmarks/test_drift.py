"""The benchmark of drift: how it draws windows and counts alarms; and, slow, all of it on a drawn video."""

import numpy as np
import pytest

from benchmarks.drift import Workload, all_rows, drawn_windows, number_of, tally
from tests.data.findings import draw_video
from vit.monitoring.drift import FIGURES, Finding


def test_a_window_without_drift_holds_whole_groups_in_their_order():
    groups = np.repeat(["a", "b", "c"], 4)
    for window in drawn_windows(groups, 8, draws=5):
        assert len(window) == 8 and len(set(groups[window])) == 2
        assert all(np.diff(part).tolist() == [1, 1, 1] for part in np.split(window, 2))


def test_a_window_counts_once_however_many_figures_alarm():
    quiet, loud = Finding(0.1, 0.5, 0.5), Finding(0.5, 0.001, 0.005)
    found = [dict.fromkeys(FIGURES, quiet), dict.fromkeys(FIGURES, quiet) | {"size": loud, "labels": loud}]
    row = tally("case", found, rate=0.01, is_drift=False)
    assert (row["windows"], row["alarms"], row["size"], row["labels"], row["embedding"]) == (2, 1, 1, 1, 0)
    assert row["goal"] == 0 and row["met"] is False
    assert tally("case", found, rate=0.01, is_drift=True)["met"] is None


def test_frames_are_ordered_by_number_and_not_by_name():
    assert sorted(["b/frame10.jpg", "a/frame9.jpg"], key=number_of) == ["a/frame9.jpg", "b/frame10.jpg"]


@pytest.mark.slow
def test_the_benchmark_of_drift_still_works(tmp_path):
    draw_video(tmp_path / "frames", shots=25, classes=("jerry", "tom", "tom_jerry_0", "tom_jerry_1"))
    settings = {"split.block_size": 10, "split.gap": 1, "split.val_fraction": 0.25, "train.epochs": 1}
    load = Workload(settings=settings, until=120, block=10, windows=(20,), draws=3, labelled=60)
    rows = all_rows(tmp_path / "frames", load)
    assert any(row["case"].startswith("frames ") for row in rows) and rows[-3]["windows"] == 3
    before, after = rows[-2:]
    assert before["case"].startswith("frames 190 to ") and "version 2" in after["told"]
