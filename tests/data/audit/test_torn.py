"""The most similar near duplicates in two splits, against a loop over all pairs."""

import numpy as np
import pytest

from tests.data.findings import findings_of, look_of, row_of
from vit.data.audit import torn
from vit.data.audit.torn import torn_pairs


@pytest.mark.parametrize("small", [0, 4, 10_000])
def test_the_pairs_are_the_nearest_of_all_whether_groups_count_as_small_or_large(small, monkeypatch):
    monkeypatch.setattr(torn, "SMALL", small)
    random = np.random.default_rng(small)
    rows = [row_of(f"a/{index:03d}.png") for index in range(120)]
    greys, groups = random.integers(0, 256, 120), random.integers(0, 15, 120)
    findings = findings_of(rows, groups.tolist(), [look_of(int(grey), index) for index, grey in enumerate(greys)])
    train, test = range(0, 120, 2), range(1, 120, 2)
    pairs = sorted(((greys[a] - greys[b]) ** 2, a, b) for a in train for b in test if groups[a] == groups[b])
    wanted, shown = [], set()
    for _, one, other in pairs:
        if len(wanted) < 12 and not shown & {one, other}:
            wanted.append((rows[one].path, rows[other].path))
            shown |= {one, other}
    assert torn_pairs(findings, {"train": [rows[i] for i in train], "test": [rows[i] for i in test]}, "test") == wanted


def test_of_a_very_large_group_some_images_are_compared(monkeypatch):
    monkeypatch.setattr(torn, "MOST", 5)
    rows = [row_of(f"a/{index:03d}.png") for index in range(40)]
    findings = findings_of(rows, [0] * 40, [look_of(index, index) for index in range(40)])
    assert len(torn_pairs(findings, {"train": rows[:20], "test": rows[20:]}, "test")) == 5
