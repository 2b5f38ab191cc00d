import random

import pytest

from tests.drawn import draw
from tests.presets import preset
from vit.data.split import PARTS, Row, assign, list_images, read_rows
from vit.errors import UserError
from vit.files import write_table
from vit.params import SplitParams

COUNTS = {"cat": 100, "dog": 37, "été": 12}


def split_params(tmp_path, **changes) -> SplitParams:
    return preset(tmp_path, "shapes", {f"split.{key}": value for key, value in changes.items()}).split


def rows_of(counts: dict[str, int]) -> list[Row]:
    paths = [f"{label}/{index:03d}.png" for label, count in counts.items() for index in range(count)]
    return sorted(Row(path, path.split("/")[0], path) for path in paths)


def test_the_parts_are_disjoint_and_cover_every_image(tmp_path):
    rows = rows_of(COUNTS)
    parts = assign(rows, split_params(tmp_path))
    assert tuple(parts) == PARTS
    assert sorted(row for part in parts.values() for row in part) == rows  # as lists: nothing twice, nothing lost


@pytest.mark.parametrize(("val", "test"), [(0.1, 0.2), (0.05, 0.05), (0.3, 0.33), (0.45, 0.45)])
def test_every_class_meets_the_fractions_within_one_image(tmp_path, val, test):
    parts = assign(rows_of(COUNTS), split_params(tmp_path, val_fraction=val, test_fraction=test))
    for label, count in COUNTS.items():
        for part, share in (("val", val), ("test", test), ("train", 1 - val - test)):
            found = sum(row.label == label for row in parts[part])
            assert abs(found - share * count) <= 1 + 1e-9
            assert found >= 1


def test_a_hundred_images_split_exactly(tmp_path):
    parts = assign(rows_of({"cat": 100, "dog": 100}), split_params(tmp_path, val_fraction=0.1, test_fraction=0.2))
    assert {part: len(rows) for part, rows in parts.items()} == {"train": 140, "val": 20, "test": 40}


def test_the_seed_alone_decides(tmp_path):
    rows = rows_of(COUNTS)
    first, again, other = (assign(rows, split_params(tmp_path, seed=seed)) for seed in (0, 0, 1))
    assert first == again
    assert first != other
    # Two random test parts of 20 out of 100 share 4 on average; 20 would be the same draw.
    shared = set(first["test"]) & set(other["test"])
    assert sum(row.label == "cat" for row in shared) < 12


def test_two_classes_are_shuffled_differently(tmp_path):
    parts = assign(rows_of({"cat": 100, "dog": 100}), split_params(tmp_path))
    numbers = {label: {row.path[-7:] for row in parts["test"] if row.label == label} for label in ("cat", "dog")}
    assert numbers["cat"] != numbers["dog"]


def test_a_new_class_moves_no_image_of_the_others(tmp_path):
    settings = split_params(tmp_path)
    before = assign(rows_of(COUNTS), settings)
    after = assign(rows_of({"ant": 20, **COUNTS, "zebra": 9}), settings)
    for part in PARTS:
        assert [row for row in after[part] if row.label in COUNTS] == before[part]


def test_a_subset_takes_so_many_of_each_class(tmp_path):
    parts = assign(rows_of(COUNTS), split_params(tmp_path, subset_per_class=10, val_fraction=0.1, test_fraction=0.2))
    counts = {
        part: {label: sum(row.label == label for row in rows) for label in COUNTS} for part, rows in parts.items()
    }
    assert counts == {
        "train": {"cat": 7, "dog": 7, "été": 7},
        "val": {"cat": 1, "dog": 1, "été": 1},
        "test": {"cat": 2, "dog": 2, "été": 2},
    }


def test_a_subset_larger_than_a_class_takes_all_of_it(tmp_path):
    parts = assign(rows_of({"cat": 10, "dog": 5}), split_params(tmp_path, subset_per_class=8))
    assert sum(row.label == "cat" for part in parts.values() for row in part) == 8
    assert sum(row.label == "dog" for part in parts.values() for row in part) == 5


@pytest.mark.parametrize("count", [1, 2])
def test_a_class_with_too_few_images_is_named_with_their_number(tmp_path, count):
    with pytest.raises(UserError, match=rf"class 'rare' has {count} image\(s\): too few"):
        assign(rows_of({"cat": 50, "rare": count}), split_params(tmp_path))


def test_three_images_are_one_for_each_part(tmp_path):
    parts = assign(rows_of({"cat": 3, "dog": 3}), split_params(tmp_path))
    assert {part: len(rows) for part, rows in parts.items()} == {"train": 2, "val": 2, "test": 2}


def test_the_order_in_which_files_were_made_does_not_matter(tmp_path):
    names = [row.path for row in rows_of({"cat": 9, "dog": 7})]
    listed = []
    for seed in (1, 2):
        root = tmp_path / str(seed)
        for name in random.Random(seed).sample(names, len(names)):
            draw(root / name, height=1, width=1)
        listed.append(list_images(root))
    assert listed[0] == listed[1] == rows_of({"cat": 9, "dog": 7})


def test_an_image_below_a_folder_of_its_class_keeps_the_class(tmp_path):
    draw(tmp_path / "cat" / "indoors" / "1.png")
    assert list_images(tmp_path) == [Row("cat/indoors/1.png", "cat", "cat/indoors/1.png")]


def test_rows_come_back_from_their_table(tmp_path):
    rows = rows_of({"weiße Katze, groß": 2, '"dog"': 1})
    write_table(tmp_path / "train.csv", [row._asdict() for row in rows])
    assert read_rows(tmp_path / "train.csv") == rows
