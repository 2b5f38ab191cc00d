"""Numbered pictures are a video only if neighbours look alike."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.data.findings import findings_of, look_of, row_of, settings
from vit.data.audit.findings import audit
from vit.data.audit.leakage import leakage_between
from vit.data.audit.videos import FEWEST, without_lists
from vit.data.manifest import Row
from vit.data.strategy import choose_undivided

LABELS = "aaaabbbbaaabbbaabbaabbaaaabbbb"


def series_of(greys: list[int], labels: str = LABELS) -> set[str]:
    """What counts as a video of pictures of these greys, numbered in order."""
    rows = [row_of(f"{label}/{number}.png") for number, label in enumerate(labels)]
    found = findings_of(rows, looks=[look_of(grey, pixels=str(index)) for index, grey in enumerate(greys)])
    assert found.frames.across_classes == {"#"}  # by their labels
    return without_lists(found.frames, found.labels, found.scan.looks).across_classes


@given(st.permutations(range(len(LABELS))))
def test_scenes_of_any_grey_are_a_video_whatever_their_order(order):
    scenes = np.cumsum([0] + [one != other for one, other in itertools.pairwise(LABELS)])
    greys = [30 * (order[scene] % 8) for scene in scenes]
    if len({greys[place] for place, label in enumerate(LABELS) if label == "a"}) > 3:
        assert series_of([grey + place % 2 for place, grey in enumerate(greys)]) == {"#"}


def test_pictures_that_only_resemble_their_class_are_a_list():
    random = np.random.default_rng(0)
    greys = [int({"a": 60, "b": 190}[label] + random.integers(-50, 50)) for label in LABELS]
    assert series_of(greys) == set()


def test_too_few_neighbours_are_not_judged_and_count_as_a_video():
    labels = "aabbaabbaabbaa"
    assert sum(one == other for one, other in itertools.pairwise(labels)) < FEWEST
    assert series_of([17 * place % 255 for place in range(len(labels))], labels) == {"#"}


def test_numbered_pictures_in_a_list_are_split_at_random_and_leak_nothing(tmp_path):
    random = np.random.default_rng(0)
    rows = []
    for number in range(120):
        label = "flag" if number // 10 % 2 else "food"  # by tens, as code points are: numbers alone tell the class
        path = tmp_path / label / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(random.integers(0, 256, (12, 12, 3), dtype=np.uint8)).save(path)
        rows.append(Row(f"{label}/{number}.png", label, f"{label}/{number}.png"))
    found = audit(tmp_path, rows, 0)
    assert found.frames.across_classes == set()
    assert choose_undivided(found, settings(strategy="auto"))[0] == "random"
    assert leakage_between(found, found.rows[::2], found.rows[1::2]) == 0
