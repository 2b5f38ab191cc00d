from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.findings import draw_video, findings_of, look_of, row_of, settings
from tests.drawn import draw_classes
from vit.data.audit import leakage
from vit.data.audit.doubts import find_difference, find_lost_classes, find_warnings
from vit.data.audit.findings import Findings, audit
from vit.data.audit.frames import Frames
from vit.data.audit.leakage import Leakage, measure, nearest_number
from vit.data.manifest import Row, list_images
from vit.data.split import assign
from vit.data.strategy import choose_strategy

NO_TABLES = Path("no tables")
HAND_MADE = {"train": (0, 3, 5), "val": (6, 7), "test": (1, 2, 4)}


def hand_made() -> tuple[Findings, dict[str, list[Row]]]:
    """Eight frames of one video; of train a, a, b, of test a, b, b and of val b, a."""
    labels = "aababbba"
    rows = [row_of(f"{label}/f{number}.png") for number, label in enumerate(labels)]
    looks = [look_of(grey) for grey in (0, 10, 190, 100, 140, 200, 205, 60)]
    frames = Frames(["f#"] * 8, np.arange(8), {"f#"})
    findings = findings_of(rows, [0, 0, 1, 2, 3, 3, 3, 4], looks, frames)
    return findings, {part: [rows[index] for index in chosen] for part, chosen in HAND_MADE.items()}


def test_every_figure_of_eight_frames_is_what_a_person_counts():
    measured = measure(*hand_made())
    found, of_val = measured["test"], measured["val"]
    assert found.majority_accuracy == pytest.approx(1 / 3)  # train has a twice and b once; test a once
    assert found.near_duplicate_share == pytest.approx(2 / 3)  # f1 is like f0, f4 like f5
    # Greys: 10 is nearest to 0 (a, right), 190 to 200 (b, right), 140 to 100 and not to 200 (a, wrong).
    assert found.nearest_neighbour_accuracy == pytest.approx(2 / 3)
    # Numbers: 1 is nearest to 0 (right), 2 to 3 (wrong), 4 as near to 3 as to 5, and 3 is taken (wrong).
    assert found.nearest_frame_accuracy == pytest.approx(1 / 3)
    assert found.leakage == pytest.approx(2 / 3)  # the near duplicates; numbers say no more than the majority
    assert of_val.majority_accuracy == pytest.approx(1 / 2)
    assert of_val.near_duplicate_share == pytest.approx(1 / 2)  # f6 is like f5
    assert of_val.nearest_neighbour_accuracy == 1.0  # 205 is nearest to 200 (b, right), 60 to 100 (a, right)
    assert of_val.nearest_frame_accuracy == pytest.approx(1 / 2)  # 6 and 7 are both nearest to 5, a b
    assert of_val.leakage == pytest.approx(1 / 2)
    assert of_val.figures("val_") == {f"val_{name}": value for name, value in of_val.figures().items()}
    assert list(found.figures()) == [
        "leakage", "majority_accuracy", "near_duplicate_share", "nearest_neighbour_accuracy", "nearest_frame_accuracy",
    ]  # fmt: skip


def test_without_a_video_no_frame_number_is_judged():
    findings, parts = hand_made()
    apart = findings_of(findings.rows, None, findings.scan.looks, Frames(["f#"] * 8, np.arange(8), set()))
    found = measure(apart, parts)["test"]
    assert found.nearest_frame_accuracy is None and "nearest_frame_accuracy" not in found.figures()
    assert found.leakage == 0.0


@pytest.mark.parametrize(
    ("figures", "leakage"),
    [
        ((0.5, 0.0, 1.0, 0.9), 0.4),  # numbers, beyond the majority
        ((0.5, 0.6, 1.0, 0.9), 0.6),  # near duplicates are more
        ((0.5, 0.0, 1.0, 0.2), 0.0),  # numbers that mislead give nothing away
        ((0.2, 0.0, 1.0, None), 0.0),  # a nearest neighbour that is always right is no leak
    ],
)
def test_leakage_is_the_larger_of_near_duplicates_and_numbers_beyond_the_majority(figures, leakage):
    assert Leakage(*figures).leakage == pytest.approx(leakage)


def test_of_two_equally_near_numbers_the_lower_is_taken_whatever_their_order():
    known = np.array([30, 10, 20])
    assert known[nearest_number(known, np.array([15, 25, 20, 0, 99]))].tolist() == [10, 20, 20, 10, 30]
    assert nearest_number(np.array([7]), np.array([-5, 7, 50])).tolist() == [0, 0, 0]


def test_of_equal_numbers_the_first_is_taken():
    assert nearest_number(np.array([4, 4, 9]), np.array([4, 3])).tolist() == [0, 0]


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> tuple[Findings, list[int]]:
    """A drawn video of 60 shots under three labels that change back and forth, and the shot of each frame."""
    raw = tmp_path_factory.mktemp("video")
    shots = dict(draw_video(raw, 60, ("cat", "dog", "owl"), seed=3))
    findings = audit(raw, list_images(raw), 0.0)
    return findings, [shots[row.path] for row in findings.rows]


def pairs_of(groups: list[int]) -> set[tuple[int, int]]:
    members: dict[int, list[int]] = {}
    for index, group in enumerate(groups):
        members.setdefault(group, []).append(index)
    return {pair for group in members.values() for pair in combinations(group, 2)}


def test_near_duplicates_are_the_shots_of_a_video_with_precision_and_recall_of_95_percent(video):
    findings, shots = video
    found, true = pairs_of(findings.groups.tolist()), pairs_of(shots)
    assert len(true) > 1000
    assert len(found & true) / len(found) >= 0.95
    assert len(found & true) / len(true) >= 0.95


def test_a_random_split_of_a_video_leaks_and_blocks_do_not(video):
    findings, _ = video
    chosen = settings(block_size=20, gap=11)
    both = measure(findings, assign("random", findings, chosen, NO_TABLES))
    leak = both["test"]
    assert both["val"].near_duplicate_share > 0.9  # by the same rule as test, val leaks as test does
    assert leak.near_duplicate_share > 0.9
    assert leak.nearest_frame_accuracy > 0.85 > leak.majority_accuracy + 0.2
    assert leak.leakage == leak.near_duplicate_share
    # No shot has more than 11 frames, so with a gap of 11 numbers none has frames in two parts.
    for apart in measure(findings, assign("blocks", findings, chosen, NO_TABLES)).values():
        assert apart.near_duplicate_share <= 0.02
        assert apart.nearest_frame_accuracy <= apart.majority_accuracy + 0.1


def test_auto_takes_blocks_for_a_video_and_says_what_random_would_give_away(video):
    strategy, reason = choose_strategy(video[0], settings())
    assert strategy == "blocks"
    assert reason == "leakage of a random split would be 100.0%, and file names carry frame numbers"


def test_auto_takes_random_for_unrelated_images(tmp_path):
    raw = draw_classes(tmp_path, {"cat": 30, "dog": 20})
    findings = audit(raw, list_images(raw), 0.0)
    assert len(set(findings.groups.tolist())) == 50  # unlike pictures are in no group
    assert choose_strategy(findings, settings()) == (
        "random",
        "leakage of a random split is 0.0%, within the margin of 10.0%",
    )


def test_auto_takes_groups_where_near_duplicates_have_no_numbers(tmp_path):
    random = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        for scene in "abcdefghijkl":
            coarse = Image.fromarray(random.integers(0, 230, (6, 6, 3), dtype=np.uint8))
            pixels = np.asarray(coarse.resize((48, 48), Image.Resampling.BICUBIC)).clip(0, 240)
            for light, name in enumerate("vwxyz"):
                Image.fromarray(pixels + np.uint8(2 * light)).save(tmp_path / label / f"{scene}{name}.png")
    findings = audit(tmp_path, list_images(tmp_path), 0.0)
    assert len(set(findings.groups.tolist())) == 24  # two classes of twelve scenes
    strategy, reason = choose_strategy(findings, settings())
    assert strategy == "groups" and reason.endswith("by near duplicates")
    measured = measure(findings, assign("groups", findings, settings(), NO_TABLES))
    assert [measured[part].near_duplicate_share for part in ("val", "test")] == [0.0, 0.0]


@pytest.mark.parametrize(
    ("parts", "strategy"),
    [
        (("train", "test"), "folders"),
        (("train", "val", "test"), "folders"),
        (("train", "val"), "random"),  # nothing was given for the final figure
        (("train",), "random"),
    ],
)
def test_auto_takes_folders_only_if_train_and_test_were_given(parts, strategy):
    rows = [row_of(f"{label}/{part}/{name}.png") for label in "ab" for part in parts for name in "stuvwxyz"]
    assert choose_strategy(findings_of(rows), settings())[0] == strategy


def test_auto_takes_groups_where_they_are_named():
    rows = [row_of(f"{label}/{name}.png") for label in "ab" for name in "stuvwxyz"]
    assert choose_strategy(findings_of(rows), settings(group_regex="(.)[.]png")) == (
        "groups",
        "groups are given by (.)[.]png",
    )


def test_a_strategy_that_is_asked_for_is_not_questioned(video):
    assert choose_strategy(video[0], settings(strategy="random")) == (
        "random",
        "set by split.strategy",
    )


NO_LEAK = Leakage(0.5, 0.0, 0.6, None)


def test_the_warning_of_a_leak_names_its_figures_and_the_way_out():
    _, parts = hand_made()
    leaking = {"test": Leakage(0.5, 0.25, 0.9, 0.75), "val": Leakage(0.5, 0.2, 0.8, None)}
    warning, of_val, absent = find_warnings(parts | {"val": parts["train"][:1]}, leaking, 0.1)
    assert warning == (
        "test leaks: 25.0% of the test images have a near duplicate in train, the label of the nearest frame "
        "number is correct for 75.0%, the most frequent class for 50.0%; its scores are an upper bound. "
        "Try split.strategy=auto, blocks or groups"
    )
    assert of_val == (
        "val leaks: 20.0% of the val images have a near duplicate in train, the most frequent class for 50.0%; "
        "epoch, temperature and champion are chosen on images that train already contains. "
        "Try split.strategy=auto, blocks or groups"
    )
    assert absent == "no image of class b is in val, which cannot score them"


@pytest.mark.parametrize("part", ["val", "test"])
def test_there_is_no_warning_at_the_margin_and_one_above(part):
    _, parts = hand_made()
    parts["val"] = parts["test"]
    assert find_warnings(parts, {"val": NO_LEAK, "test": NO_LEAK, part: Leakage(0.5, 0.1, 0.9, None)}, 0.1) == []
    (warning,) = find_warnings(parts, {"val": NO_LEAK, "test": NO_LEAK, part: Leakage(0.5, 0.11, 0.9, None)}, 0.1)
    assert "frame number" not in warning and f"11.0% of the {part} images" in warning


@pytest.mark.parametrize(
    ("val", "test", "told"),
    [
        # Three standard errors of a difference of two shares of 400 groups each are 0.106.
        ((0.5, 0.5, 0.6, None), (0.5, 0.0, 0.6, None), "nearer to train than test is: leakage is 50.0% of val and 0.0"),
        ((0.5, 0.0, 0.6, None), (0.5, 0.0, 0.6, 0.9), "farther from train than test is: leakage is 0.0% of val and 40"),
        ((0.5, 0.0, 0.9, None), (0.4, 0.0, 0.4, None), "nearer to train than test is: the nearest thumbnail in train"),
        ((0.5, 0.105, 0.6, None), (0.5, 0.0, 0.5, None), ""),  # 10.5 and 10 points are no more than chance
        ((0.3, 0.0, 0.9, None), (0.4, 0.0, 0.9, None), ""),  # easy data, whose classes are rarer in val
    ],
)
def test_val_and_test_that_are_not_equally_far_from_train_are_warned_of(val, test, told):
    sure = find_difference(Leakage(*val, groups=400), Leakage(*test, groups=400), 0.1)
    assert [told in warning for warning in sure] == ([True] if told else [])
    assert find_difference(Leakage(*val, groups=8), Leakage(*test, groups=8), 0.1) == []  # too few groups to tell
    assert find_difference(Leakage(*val, groups=400), Leakage(*test, groups=400), 0.6) == []  # within the margin


def test_a_class_that_is_lost_whole_is_warned_of_and_one_that_lost_images_is_not():
    findings, _ = hand_made()
    broken = [(row_of("c/1.png"), "broken"), (row_of(findings.rows[0].path.replace(".", "x.")), "broken")]
    (warning,) = find_lost_classes(replace(findings, broken=broken))
    assert warning == "class 'c' is gone: none of its images can be used"


def test_nearest_neighbours_of_many_images_are_measured_on_some_and_the_interval_covers_the_exact_share(monkeypatch):
    random = np.random.default_rng(0)
    labels = random.choice(list("ab"), 900)
    rows = [row_of(f"{label}/{'x' * (index + 1)}.png") for index, label in enumerate(labels)]
    looks = [look_of(int(random.integers(0, 256)), index) for index in range(900)]
    findings = findings_of(rows, None, looks)
    parts = {"train": rows[:300], "val": rows[300:350], "test": rows[350:]}
    exact = measure(findings, parts)["test"]
    assert exact.sampled is None and "nearest_neighbour_accuracy_low" not in exact.figures()
    monkeypatch.setattr(leakage, "SAMPLED", 100)
    monkeypatch.setattr(leakage, "TRAIN_AT_ONCE", 70)
    both = measure(findings, parts)
    drawn = both["test"].figures()
    assert both["test"].sampled == 100 and both["val"].sampled is None  # val is small enough
    assert drawn["nearest_neighbour_accuracy_low"] < exact.nearest_neighbour_accuracy
    assert exact.nearest_neighbour_accuracy < drawn["nearest_neighbour_accuracy_high"]
    assert both["val"] == measure(findings, parts)["val"] and drawn["leakage"] == exact.leakage
    # Wilson's interval of 50 of 100: (0.5 + z²/200 ± z sqrt(0.0025 + z²/40000)) / (1 + z²/100), by hand.
    half = Leakage(0.5, 0.0, 0.5, None, sampled=100).figures()
    assert half["nearest_neighbour_accuracy_low"] == pytest.approx(0.4038, abs=1e-4)
    assert half["nearest_neighbour_accuracy_high"] == pytest.approx(0.5962, abs=1e-4)
