import random
import tempfile
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, reject
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.data.findings import findings_of, in_order, row_of, settings
from tests.drawn import draw
from vit.data.audit.findings import Findings
from vit.data.audit.frames import frame_numbers
from vit.data.audit.leakage import measure
from vit.data.manifest import PARTS, Row, given_part, list_images, read_rows
from vit.data.split import assign, with_fewer_to_train_on
from vit.data.strategy import choose_strategy
from vit.errors import UserError
from vit.files import write_table

pytestmark = pytest.mark.long

NO_TABLES = Path("no tables")
COUNTS = {"cat": 100, "dog": 37, "été": 12}
SOME = hypothesis_settings(max_examples=12, deadline=None, database=None, derandomize=True)
FEW = hypothesis_settings(max_examples=5, deadline=None, database=None, derandomize=True)

Parts = dict[str, list[Row]]


def images(counts: dict[str, int]) -> Findings:
    """Unrelated images, so many of each class, none with a number in its name."""
    return findings_of([row_of(f"{label}/{name}") for label, count in counts.items() for name in letters(count)])


def letters(count: int) -> list[str]:
    return [f"{''.join(chr(97 + int(digit)) for digit in f'{index:04d}')}.png" for index in range(count)]


def counts_of(parts: Parts) -> dict[str, dict[str, int]]:
    return {part: dict(Counter(row.label for row in rows)) for part, rows in parts.items()}


def check(parts: Parts, findings: Findings) -> None:
    """What holds for every strategy: images once, groups in one part, no class to be met untrained."""
    assert tuple(parts) == PARTS
    paths = [row.path for rows in parts.values() for row in rows]
    assert len(paths) == len(set(paths))
    assert set(paths) <= {row.path for row in findings.rows}
    parts_of = defaultdict(set)
    for part, rows in parts.items():
        assert rows and rows == sorted(rows)
        for row in rows:
            parts_of[row.group].add(part)
    assert all(len(found) == 1 for found in parts_of.values())
    assert {row.label for row in parts["train"]} == {row.label for row in findings.rows}


@st.composite
def unrelated(draw) -> Findings:
    """Two to five classes of 1 to 60 images, at least two of them with more than three."""
    sizes = draw(st.lists(st.integers(4, 60), min_size=2, max_size=3)) + draw(st.lists(st.integers(1, 3), max_size=2))
    return images({f"class {chr(97 + index)}": size for index, size in enumerate(sizes)})


@st.composite
def grouped(draw) -> tuple[Findings, dict[str, str]]:
    """150 to 300 images of two or three classes in groups of up to 4, and a class of one; the group of each path."""
    generator = random.Random(draw(st.integers(0, 10**6)))
    classes = draw(st.integers(2, 3))
    names = letters(draw(st.integers(150, 300)))
    rows = [row_of(f"{'abc'[generator.randrange(classes)]}/{name}") for name in names] + [row_of("lone/image.png")]
    numbers, last = [], 0
    while len(numbers) < len(rows):
        numbers += [last] * generator.randint(1, 4)
        last += 1
    numbers = numbers[: len(rows)]
    return findings_of(rows, numbers), {row.path: f"g{number}" for row, number in zip(rows, numbers, strict=True)}


@st.composite
def video(draw) -> Findings:
    """300 to 400 frames of one or two series, some numbers missing, shots of two or three classes."""
    generator = random.Random(draw(st.integers(0, 10**6)))
    classes, rows = draw(st.integers(2, 3)), []
    for series in "fg"[: draw(st.integers(1, 2))]:
        number = generator.randrange(1000)
        while len(rows) < (200 if series == "f" else 300):
            label = "abc"[generator.randrange(classes)]
            for _ in range(generator.randint(2, 12)):
                number += 1 + (generator.random() < 0.1) * 3
                rows.append(row_of(f"{label}/{series}{number}.png"))
    return findings_of(rows)


@st.composite
def divided(draw) -> Findings:
    """Two classes that came as train, test and perhaps val, 40 or more each, in near-duplicate groups of up to 3."""
    generator = random.Random(draw(st.integers(0, 10**6)))
    given_parts = ("train", "test", "val") if draw(st.booleans()) else ("train", "test")
    rows = [
        row_of(f"{label}/{part}/{name}")
        for label in "ab"
        for part in given_parts
        for name in letters(generator.randint(40, 60))
    ]
    numbers = [index // 3 for index in range(len(rows))]
    return findings_of(rows, numbers)


@st.composite
def divided_video(draw) -> Findings:
    """300 to 400 frames of shots of two or three classes; the last 80 came as test, numbered on or from 0 again."""
    generator = random.Random(draw(st.integers(0, 10**6)))
    classes, anew = draw(st.integers(2, 3)), draw(st.booleans())
    count, paths = draw(st.integers(300, 400)), []
    while len(paths) < count:
        label = "abc"[generator.randrange(classes)]
        for _ in range(generator.randint(2, 12)):
            test = len(paths) - (count - 80)
            part, number = ("test", test if anew else len(paths)) if test >= 0 else ("train", len(paths))
            paths.append(f"{label}/{part}/f{number}.png")
    return findings_of([row_of(path) for path in paths])


def fractions() -> st.SearchStrategy[dict[str, float]]:
    fraction = st.floats(0.05, 0.3)
    return st.fixed_dictionaries({"val_fraction": fraction, "test_fraction": fraction, "seed": st.integers(0, 99)})


@SOME
@given(unrelated(), fractions())
def test_random_meets_the_fractions_of_every_class_within_one_image_and_loses_none(findings, chosen):
    parts = assign("random", findings, settings(**chosen), NO_TABLES)
    check(parts, findings)
    assert sum(map(len, parts.values())) == len(findings.rows)
    found = counts_of(parts)
    for label, count in Counter(row.label for row in findings.rows).items():
        for part in ("val", "test"):
            assert abs(found[part].get(label, 0) - chosen[f"{part}_fraction"] * count) <= 1
            assert found[part].get(label, 0) >= (1 if count > 2 or (count == 2 and part == "test") else 0)


@SOME
@given(grouped(), fractions(), st.sampled_from(["near duplicates", "regex", "column"]))
def test_groups_stay_whole_and_meet_fractions_within_a_group_and_class_shares_within_5_points(found, chosen, named):
    findings, group = found
    changes = dict(chosen)
    if named == "regex":  # the group is the first three letters of the name: up to ten images
        changes["group_regex"] = "/(.{3})"
    settled = settings(**changes)
    if named == "column":
        parts = with_table(findings, group, changes)
    else:
        parts = assign("groups", findings, settled, NO_TABLES)
    check(parts, findings)
    assert sum(map(len, parts.values())) == len(findings.rows)
    if named != "regex":
        members = defaultdict(set)
        for part, rows in parts.items():
            for row in rows:
                members[group[row.path]].add(part)
        assert all(len(kept) == 1 for kept in members.values())
    largest = max(Counter(row.group for rows in parts.values() for row in rows).values())
    shares = Counter(row.label for row in findings.rows)
    for part in ("val", "test"):
        assert abs(len(parts[part]) - chosen[f"{part}_fraction"] * len(findings.rows)) <= largest
        if len(parts[part]) >= 40:  # of fewer, an image more is a large share
            ours = Counter(row.label for row in parts[part])
            for label, count in shares.items():
                assert abs(ours[label] / len(parts[part]) - count / len(findings.rows)) <= 0.05
    assert "lone" in counts_of(parts)["train"]


def with_table(findings: Findings, group: dict[str, str], changes: dict) -> Parts:
    with tempfile.TemporaryDirectory() as folder:
        lines = [{"file": path, "scene": name} for path, name in group.items()]
        write_table(Path(folder) / "groups.csv", lines)
        return assign("groups", findings, settings(**changes, group_column="scene"), Path(folder))


@SOME
@given(video(), fractions(), st.integers(5, 20), st.integers(0, 4))
def test_no_two_frames_of_different_parts_are_within_the_gap(findings, chosen, block_size, gap):
    settled = settings(**chosen, block_size=block_size, gap=gap)
    try:
        parts = assign("blocks", findings, settled, NO_TABLES)
    except UserError as error:
        if gap and "leaves" in str(error):  # only what the gap leaves out may empty a part or a class
            reject()
        raise
    check(parts, findings)
    frames = frame_numbers(findings.rows)
    place = dict(zip([row.path for row in findings.rows], zip(frames.series, frames.numbers, strict=True), strict=True))
    places = sorted((*place[row.path], part) for part, rows in parts.items() for row in rows)
    for (series, number, part), (other, next_number, next_part) in pairwise(places):
        if series == other and part != next_part:
            assert next_number - number > gap
    kept = {row.path for rows in parts.values() for row in rows}
    # Nothing is left out without need: each frame that is missing is within the gap of a frame of val or test.
    held_out = sorted(place[row.path] for part in ("val", "test") for row in parts[part])
    for path in place.keys() - kept:
        series, number = place[path]
        assert any(series == other and abs(number - near) <= gap for other, near in held_out)


@SOME
@given(video(), fractions(), st.integers(3, 8))
def test_blocks_meet_the_fractions_within_a_block_before_gaps(findings, chosen, block_size):
    parts = assign("blocks", findings, settings(**chosen, block_size=block_size, gap=0), NO_TABLES)
    assert sum(map(len, parts.values())) == len(findings.rows)
    for part in ("val", "test"):
        assert abs(len(parts[part]) - chosen[f"{part}_fraction"] * len(findings.rows)) <= block_size


@SOME
@given(divided(), fractions())
def test_folders_keep_the_given_parts_and_take_a_missing_val_from_train(findings, chosen):
    parts = assign("folders", findings, settings(**chosen), NO_TABLES)
    assert {given_part(row.path) for row in parts["test"]} == {"test"}
    assert {given_part(row.path) for row in parts["train"]} == {"train"}
    given_val = any(given_part(row.path) == "val" for row in findings.rows)
    assert {given_part(row.path) for row in parts["val"]} == ({"val"} if given_val else {"train"})
    assert sorted(row.path for rows in parts.values() for row in rows) == sorted(row.path for row in findings.rows)
    if not given_val:
        assert not {row.group for row in parts["val"]} & {row.group for row in parts["train"]}
        assert abs(len(parts["val"]) - chosen["val_fraction"] * len(findings.rows)) <= 3


@SOME
@given(divided_video(), fractions(), st.integers(5, 20), st.integers(0, 4))
def test_val_of_a_divided_video_is_taken_in_blocks_with_gaps_and_test_is_left_alone(findings, chosen, size, gap):
    settled = settings(**chosen, strategy="folders", block_size=size, gap=gap)
    assert (
        "; val is taken from train by blocks, as leakage of a random split would"
        in choose_strategy(findings, settled)[1]
    )
    parts = assign("folders", findings, settled, NO_TABLES)
    check(parts, findings)
    numbers = {part: [int(row.path.split("/f")[1][:-4]) for row in rows] for part, rows in parts.items()}
    assert [row.path for row in parts["test"]] == sorted(row.path for row in findings.rows if "/test/" in row.path)
    assert all("/train/" in row.path for part in ("train", "val") for row in parts[part])
    assert not {n // size for n in numbers["val"]} & {n // size for n in numbers["train"]}
    assert all(abs(one - other) > gap for one in numbers["val"] for other in numbers["train"])
    assert abs(len(parts["val"]) - chosen["val_fraction"] * len(findings.rows)) <= size
    given_train = {int(row.path.split("/f")[1][:-4]) for row in findings.rows if "/train/" in row.path}
    for number in given_train - {*numbers["train"], *numbers["val"]}:  # nothing is left out without need
        assert any(abs(number - held_out) <= gap for held_out in numbers["val"])


@FEW
@given(divided_video())
def test_folds_of_a_divided_video_are_blocks_share_no_frame_and_leave_test_alone(findings):
    covered = []
    for fold in range(3):
        settled = settings(strategy="folders", folds=3, fold=fold, block_size=8, gap=1)
        parts = assign("folders", findings, settled, NO_TABLES)
        check(parts, findings)
        blocks = {part: {int(row.path.split("/f")[1][:-4]) // 8 for row in parts[part]} for part in ("train", "val")}
        assert not blocks["train"] & blocks["val"]
        assert all(given_part(row.path) == "test" for row in parts["test"])
        covered += [row.path for row in parts["val"]]
    assert sorted(covered) == sorted(row.path for row in findings.rows if given_part(row.path) == "train")


@FEW
@given(divided(), fractions(), st.sampled_from(["regex", "column", "near duplicates"]), st.sampled_from([None, 3]))
def test_val_that_is_taken_from_train_shares_no_group_with_it(findings, chosen, named, folds):
    if any(given_part(row.path) == "val" for row in findings.rows) and folds is None:
        reject()  # nothing is taken from train
    pairs = {row.path: f"{row.label}{index // 7}" for index, row in enumerate(findings.rows)}
    if named == "near duplicates":
        group = {row.path: str(number) for row, number in zip(findings.rows, findings.groups.tolist(), strict=True)}
    else:
        group = pairs if named == "column" else {path: path.split("/")[-1][:3] for path in pairs}
    changes = chosen | {"group_regex": "/(...).[.]png"} if named == "regex" else chosen
    changes = changes | {"folds": folds, "group_column": "scene" if named == "column" else None}
    with tempfile.TemporaryDirectory() as folder:
        fitting = [path for path in group if given_part(path) != "test"]  # a table need not know the images of test
        write_table(Path(folder) / "groups.csv", [{"file": path, "scene": group[path]} for path in fitting])
        parts = assign("folders", findings, settings(**changes), Path(folder))
    assert parts["val"]
    assert not {group[row.path] for row in parts["val"]} & {group[row.path] for row in parts["train"]}


def test_the_rule_for_val_is_the_same_for_every_fold_and_is_named():
    rows = [row_of(f"{label}/{part}/{name}") for label in "ab" for part in ("train", "test") for name in letters(40)]
    findings = findings_of(rows)
    assert {choose_strategy(findings, settings(strategy="auto", folds=5, fold=fold)) for fold in range(5)} == {
        (
            "folders",
            "the source is already split into train and test; val is taken from train by groups, as leakage of a "
            "random split is 0.0%, within the margin of 10.0%",
        )
    }


def test_auto_comes_to_the_same_strategy_for_every_fold():
    # One image in seven has a near duplicate: leakage of random folds is about the margin, more or less.
    rows = [row_of(f"{label}/{name}") for label in "ab" for name in letters(80)]
    findings = findings_of(rows, [index // 2 * 2 if index % 14 < 2 else index for index in range(len(rows))])
    leaks = [
        measure(findings, assign("random", findings, settings(folds=5, fold=fold), NO_TABLES))["test"].leakage
        for fold in range(5)
    ]
    assert min(leaks) <= 0.1 < max(leaks)
    assert len({choose_strategy(findings, settings(strategy="auto", folds=5, fold=fold)) for fold in range(5)}) == 1


def test_a_given_val_is_kept_and_no_rule_is_named():
    rows = [row_of(f"{label}/{part}/{name}") for label in "ab" for part in PARTS for name in letters(9)]
    assert choose_strategy(findings_of(rows), settings(strategy="folders")) == (
        "folders",
        "set by split.strategy",
    )


@FEW
@given(unrelated(), st.integers(2, 6), st.integers(0, 9))
def test_random_folds_share_no_image_and_cover_all_but_lone_ones(findings, folds, seed):
    tests = []
    for fold in range(folds):
        parts = assign("random", findings, settings(folds=folds, fold=fold, seed=seed), NO_TABLES)
        check(parts, findings)
        assert sum(map(len, parts.values())) == len(findings.rows)
        tests.append({row.path for row in parts["test"]})
    counts = Counter(row.label for row in findings.rows)
    covered = sorted(path for test in tests for path in test)
    assert covered == sorted(row.path for row in findings.rows if counts[row.label] > 1)
    assert max(map(len, tests)) - min(map(len, tests)) <= 1


@FEW
@given(grouped(), st.integers(2, 4))
def test_folds_of_groups_share_no_image_and_cover_all_but_a_class_of_one_group(found, folds):
    findings, _ = found
    tests = []
    for fold in range(folds):
        parts = assign("groups", findings, settings(folds=folds, fold=fold), NO_TABLES)
        check(parts, findings)
        tests.append({row.path for row in parts["test"]})
    covered = [path for test in tests for path in test]
    assert len(covered) == len(set(covered))
    by_group = {row.path: number for row, number in zip(findings.rows, findings.groups.tolist(), strict=True)}
    missing = {row.path for row in findings.rows} - set(covered)
    assert {by_group[path] for path in missing} == {by_group["lone/image.png"]}
    assert max(map(len, tests)) - min(map(len, tests)) <= 2 * 4  # each cut is within half a group of its place


@FEW
@given(video())
def test_folds_of_blocks_share_no_frame_and_cover_all(findings):
    covered = []
    for fold in range(3):
        parts = assign("blocks", findings, settings(folds=3, fold=fold, block_size=8, gap=1), NO_TABLES)
        check(parts, findings)
        covered += [row.path for row in parts["test"]]
    assert sorted(covered) == sorted(row.path for row in findings.rows)


@FEW
@given(divided())
def test_folds_of_given_parts_are_val_parts_and_leave_test_alone(findings):
    covered, fitting = [], [row.path for row in findings.rows if given_part(row.path) != "test"]
    for fold in range(3):
        parts = assign("folders", findings, settings(folds=3, fold=fold), NO_TABLES)
        assert sorted(row.path for part in ("train", "val") for row in parts[part]) == sorted(fitting)
        assert all(given_part(row.path) == "test" for row in parts["test"])
        covered += [row.path for row in parts["val"]]
    assert sorted(covered) == sorted(fitting)


@FEW
@given(grouped(), st.permutations(range(20)), st.sampled_from(["random", "groups"]))
def test_the_order_of_the_rows_does_not_matter(found, shuffle, strategy):
    findings, _ = found
    order = [index for start in shuffle for index in range(start, len(findings.rows), 20)]
    first, again = (assign(strategy, given, settings(), NO_TABLES) for given in (findings, in_order(findings, order)))
    assert first == again


@FEW
@given(video(), st.integers(0, 5))
def test_blocks_do_not_depend_on_the_order_and_differ_by_seed(findings, seed):
    settled = settings(block_size=6, gap=1, seed=seed)
    shuffled = list(reversed(range(len(findings.rows))))
    first = assign("blocks", findings, settled, NO_TABLES)
    assert first == assign("blocks", in_order(findings, shuffled), settled, NO_TABLES)
    assert first != assign("blocks", findings, settings(block_size=6, gap=1, seed=seed + 1), NO_TABLES)


def test_a_hundred_images_split_exactly():
    parts = assign("random", images({"cat": 100, "dog": 100}), settings(), NO_TABLES)
    assert {part: len(rows) for part, rows in parts.items()} == {"train": 140, "val": 20, "test": 40}


def test_another_seed_is_another_draw():
    first, other = (assign("random", images(COUNTS), settings(seed=seed), NO_TABLES) for seed in (0, 1))
    # Two random test parts of 20 out of 100 share 4 on average; 20 would be the same draw.
    shared = set(first["test"]) & set(other["test"])
    assert sum(row.label == "cat" for row in shared) < 12


def test_two_classes_are_shuffled_differently():
    test = assign("random", images({"cat": 100, "dog": 100}), settings(), NO_TABLES)["test"]
    names = {label: {row.path[3:] for row in test if row.label == label} for label in ("cat", "dog")}
    assert names["cat"] != names["dog"]


def test_a_new_class_moves_no_image_of_the_others():
    before = assign("random", images(COUNTS), settings(), NO_TABLES)
    after = assign("random", images({"ant": 20, **COUNTS, "zebra": 9}), settings(), NO_TABLES)
    for part in PARTS:
        assert [row for row in after[part] if row.label in COUNTS] == before[part]


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1, {"train": 1}),
        (2, {"train": 1, "test": 1}),
        (3, {"train": 1, "val": 1, "test": 1}),
        (5, {"train": 3, "val": 1, "test": 1}),
    ],
)
def test_a_class_of_few_images_is_trained_on_before_it_is_tested(count, expected):
    parts = assign("random", images({"cat": 50, "rare": count}), settings(), NO_TABLES)
    assert {part: found["rare"] for part, found in counts_of(parts).items() if "rare" in found} == expected


@pytest.mark.parametrize(("val", "test", "expected"), [(0.05, 0.9, (1, 0, 3)), (0.45, 0.45, (1, 1, 2))])
def test_large_fractions_leave_an_image_of_each_class_to_train_on(val, test, expected):
    # Of 4: 0.9 rounds to all 4, so 3, and none for val; 0.45 rounds to 2 and 2, so val gets 1.
    parts = assign("random", images({"a": 4, "b": 100}), settings(val_fraction=val, test_fraction=test), NO_TABLES)
    assert tuple(counts_of(parts)[part].get("a", 0) for part in PARTS) == expected


def test_many_small_classes_are_dealt_to_all_folds():
    findings = images({f"class {chr(97 + index)}": 4 for index in range(10)})
    # 40 images in turn to 5 folds are 8 each; class by class from the first fold on, the last one would get none.
    for fold in range(5):
        parts = assign("random", findings, settings(folds=5, fold=fold), NO_TABLES)
        assert {part: len(rows) for part, rows in parts.items()} == {"train": 22, "val": 10, "test": 8}


def test_classes_of_one_image_do_not_stop_a_split_by_groups():
    findings = images({"cat": 30, "dog": 30} | {f"rare {chr(97 + index)}": 1 for index in range(20)})
    for folds in (None, 4):
        parts = assign("groups", findings, settings(folds=folds), NO_TABLES)
        check(parts, findings)
        assert all(counts_of(parts)["train"][f"rare {chr(97 + index)}"] == 1 for index in range(20))


def test_classes_of_two_groups_are_never_tested_with_both():
    findings = images({f"class {chr(97 + index // 26)}{chr(97 + index % 26)}": 2 for index in range(200)})
    parts = assign("groups", findings, settings(val_fraction=0.2, test_fraction=0.25), NO_TABLES)
    check(parts, findings)
    assert set(counts_of(parts)["train"]) == {row.label for row in findings.rows}


def test_three_groups_fill_three_parts_whatever_the_fractions():
    findings = findings_of([row_of(f"a/{name}") for name in letters(12)], [0] + [1] + [2] * 10)
    for seed in range(5):
        chosen = settings(seed=seed, val_fraction=0.3, test_fraction=0.3)
        parts = assign("groups", findings, chosen, NO_TABLES)
        check(parts, findings)
        assert sorted(len({row.group for row in rows}) for rows in parts.values()) == [1, 1, 1]


@FEW
@given(unrelated(), fractions(), st.integers(1, 30))
def test_a_subset_keeps_so_many_to_train_on_of_each_class_and_all_to_be_judged_on(findings, chosen, count):
    whole = assign("random", findings, settings(**chosen), NO_TABLES)
    few = with_fewer_to_train_on(whole, settings(**chosen, subset_per_class=count))
    check(few, findings)
    assert (few["val"], few["test"]) == (whole["val"], whole["test"])
    assert set(few["train"]) <= set(whole["train"])
    of_all, of_few = counts_of(whole)["train"], counts_of(few)["train"]
    assert of_few == {label: min(count, present) for label, present in of_all.items()}


@FEW
@given(video(), st.integers(0, 99))
def test_a_small_subset_is_part_of_a_large_one_and_another_seed_draws_another(findings, seed):
    parts = assign("blocks", findings, settings(block_size=6, gap=1), NO_TABLES)
    few, many, other = (
        set(with_fewer_to_train_on(parts, settings(subset_per_class=count, seed=seeded))["train"])
        for count, seeded in ((10, seed), (25, seed), (10, seed + 1))
    )
    assert few < many and few != other


def test_without_a_number_all_are_trained_on():
    parts = assign("random", images(COUNTS), settings(), NO_TABLES)
    assert with_fewer_to_train_on(parts, settings(subset_per_class=None)) == parts


def test_a_huge_gap_is_judged_without_counting_through_it():
    rows = [row_of(f"{'ab'[number // 10 % 2]}/f{number}.png") for number in range(400)]
    with pytest.raises(UserError, match=r"leaves the (val|train) split empty"):
        assign("blocks", findings_of(rows), settings(block_size=10, gap=10**12), NO_TABLES)


def test_the_frames_at_a_border_are_left_out_of_train_by_exactly_the_gap():
    # Three blocks of 10; whichever is test, train keeps what is 3 or more numbers from another part.
    rows = [row_of(f"a/f{number}.png") for number in range(30)]
    parts = assign("blocks", findings_of(rows), settings(block_size=10, gap=2), NO_TABLES)
    numbers = {part: sorted(int(row.path[3:-4]) for row in rows) for part, rows in parts.items()}
    assert len(numbers["test"]) == 10
    whole = {part: np.arange(numbers[part][0] // 10 * 10, numbers[part][0] // 10 * 10 + 10) for part in PARTS}
    test, val = set(whole["test"].tolist()), whole["val"].tolist()
    val = [number for number in val if all(abs(number - other) > 2 for other in test)]
    train = [n for n in whole["train"].tolist() if all(abs(n - other) > 2 for other in [*test, *val])]
    assert (numbers["val"], numbers["train"]) == (val, train)


@pytest.mark.parametrize(
    ("names", "scenes"),
    [
        (("file", "cat/a.png", "cat/deep/b.png", "dog/c.png", "dog/d.png"), "wxyz"),  # from the class on
        (("file", "a.png", "deep/b.png", "c.png", "d.png"), "wxyz"),  # below the class
        (("file", "a.png", "b.png", "c.png", "d.png"), "wxyz"),  # names of files
        (("\ufefffile", "a.png", "b.png", "c.png", "d.png"), "wxyz"),  # as Excel saves UTF-8
    ],
)
def test_a_table_may_name_images_in_three_ways(tmp_path, names, scenes):
    header, *files = names
    table = [f"{header},scene"] + [f"{file},{scene}" for file, scene in zip(files, scenes, strict=True)]
    (tmp_path / "scenes.csv").write_text("\n".join(table), encoding="utf-8")
    (tmp_path / "other.csv").write_text("name,owner\na.png,me\n", encoding="utf-8")
    rows = [row_of(path) for path in ("cat/a.png", "cat/deep/b.png", "dog/c.png", "dog/d.png")]
    parts = assign("groups", findings_of(rows), settings(group_column="scene"), tmp_path)
    found = {row.path: row.group for rows in parts.values() for row in rows}
    assert found == dict(zip([row.path for row in rows], scenes, strict=True))


def test_the_order_in_which_files_were_made_does_not_matter(tmp_path):
    names = [row.path for row in images({"cat": 9, "dog": 7}).rows]
    listed = []
    for seed in (1, 2):
        root = tmp_path / str(seed)
        for name in random.Random(seed).sample(names, len(names)):
            draw(root / name, height=1, width=1)
        listed.append(list_images(root))
    assert listed[0] == listed[1] == images({"cat": 9, "dog": 7}).rows


def test_an_image_below_a_folder_of_its_class_keeps_the_class(tmp_path):
    draw(tmp_path / "cat" / "indoors" / "1.png")
    assert list_images(tmp_path) == [Row("cat/indoors/1.png", "cat", "cat/indoors/1.png")]


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("cat/train/1.png", "train"),
        ("cat/val/deep/1.png", "val"),
        ("cat/1.png", None),
        ("train/cat/1.png", None),  # a class called train
        ("cat/deep/test/1.png", None),
        ("cat/test", None),  # a file called test
    ],
)
def test_the_directory_below_the_class_is_the_given_part(path, part):
    assert given_part(path) == part


def test_rows_come_back_from_their_table(tmp_path):
    rows = images({"weiße Katze, groß": 2, '"dog"': 1}).rows
    write_table(tmp_path / "train.csv", [row._asdict() for row in rows])
    assert read_rows(tmp_path / "train.csv") == rows
