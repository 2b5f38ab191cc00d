"""Which image a name means."""

import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vit.data.join import Index, Known
from vit.data.manifest import Row
from vit.data.source_paths import write_source_paths
from vit.data.tables import column_values, listed
from vit.errors import UserError

NAMES = st.text("ab", min_size=1, max_size=2)
PATHS = st.lists(st.tuples(NAMES, NAMES, NAMES), min_size=1, max_size=12, unique=True).map(
    lambda paths: [f"{a}/{b}/{c}.png" for a, b, c in paths]
)
MOVED = {"a/train/1.png": "train/a/1.png", "a/train/2.png": "train/a/2.png", "a/test/1.png": "test/a/1.png"}


def moved(tmp_path, table: str):
    """The images that download had moved from train/a to a/train, and a table beside them."""
    write_source_paths(tmp_path, "pets", MOVED)
    (tmp_path / "cameras.csv").write_text(table, encoding="utf-8")
    return [Row(path, "a", path) for path in MOVED]


@settings(max_examples=50)
@given(PATHS)
def test_a_whole_path_finds_its_image_with_and_without_ending_and_below_any_folder(paths):
    index = Index([Known(path, root="pets") for path in paths])
    for number, path in enumerate(paths):
        assert index.find(path) == index.find(f"./{path}") == index.find(f"/home/me/pets/{path}") == [number]
        assert index.find_bare(path.removesuffix(".png")) == [number]


@settings(max_examples=50)
@given(PATHS, st.tuples(NAMES, NAMES))
def test_the_end_of_a_path_finds_every_image_that_ends_so_and_no_other(paths, asked):
    name = "/".join(asked) + ".png"
    found = Index([Known(path) for path in paths]).find(name)
    assert found == [number for number, path in enumerate(paths) if path.endswith(f"/{name}")]


@settings(max_examples=50)
@given(PATHS)
def test_a_name_that_two_images_may_have_is_refused_and_never_given_to_one_of_them(paths):
    index = Index([Known(path) for path in paths])
    names = [path.rpartition("/")[2] for path in paths]
    found = [index.find(name) for name in names]
    if all(names.count(name) == 1 for name in names):
        assert index.one_of(found, names, "t") == list(range(len(paths)))
    else:
        with pytest.raises(UserError, match=r"names are ambiguous: '\w+\.png' may mean '.*' or '.*'; write the folder"):
            index.one_of(found, names, "t")


def test_another_folder_of_the_same_file_name_is_no_match():
    index = Index([Known("a/1.png", root="pets")])
    assert index.find("b/1.png") == index.find("/home/me/cars/a/1.png") == index.find("1") == index.find("") == []


def test_a_path_is_found_in_another_unicode_form_and_with_what_cannot_be_seen():
    index = Index([Known("cafe\u0301/1.png"), Known("thé/2.png")])
    assert index.find("caf\u00e9/1.png\u00a0") == [0]
    assert index.find("\ufeffthe\u0301\\2.png") == [1]


@pytest.mark.parametrize(
    "names",
    [
        ("train/a/1.png", "train/a/2.png", "test/a/1.png"),
        ("pets/train/a/1.png", "pets/train/a/2.png", "pets/test/a/1.png"),
        ("/data/pets/train/a/1.png", "/data/pets/train/a/2.png", "/data/pets/test/a/1.png"),
        ("train\\a\\1.png", "train\\a\\2.png", "test\\a\\1.png"),
        ("train/a/1", "train/a/2", "test/a/1"),
        ("a/train/1.png", "a/train/2.png", "a/test/1.png"),
        (" train/a/1.png", "train/a/2.png\u00a0", "test/a/1.png"),
    ],
)
def test_a_table_may_name_images_as_they_lay_at_the_source(tmp_path, caplog, names):
    rows = moved(tmp_path, "image, camera\n" + "".join(f"{name}, {name[-5]}x \n" for name in names))
    with caplog.at_level(logging.INFO, "vit"):
        values = column_values(rows, tmp_path, "camera", "evaluate.slices")
    assert [value.pop()[-1] for value in values] == ["x", "x", "x"]
    assert caplog.messages == []


def test_a_table_that_matches_nothing_is_refused_with_an_example_of_each_side(tmp_path):
    rows = moved(tmp_path, "image,camera\ntrain/b/1.png,x\ntrain/b/2.png,y\n")
    reason = (
        r"evaluate\.slices 'camera': none of its 2 lines names one of the 3 images; they hold such as "
        r"'train/b/1\.png', and the images have paths such as 'a/train/1\.png' \(at the source 'train/a/1\.png'\)"
    )
    with pytest.raises(UserError, match=reason):
        column_values(rows, tmp_path, "camera", "evaluate.slices")
    with pytest.raises(UserError, match=r"'cameras\.csv': none of its 2 lines names one of the 3 images"):
        listed(rows, tmp_path, "cameras.csv", "evaluate.slices")


def test_a_table_that_matches_in_part_is_warned_of_with_numbers_and_an_example_of_each_side(tmp_path, caplog):
    rows = moved(tmp_path, "image,camera\ntrain/a/1.png,x\ntrain/a/2.png, \u00a0\ntrain/b/9.png,y\n")
    assert column_values(rows, tmp_path, "camera", "evaluate.slices") == [{"x"}, set(), set()]
    assert caplog.messages == [
        "evaluate.slices 'camera': 1 of 3 images have no line, such as 'a/test/1.png' (at the source 'test/a/1.png'); "
        "1 of 3 lines name no image here, such as 'train/b/9.png'",
        "evaluate.slices 'camera': the cells of 1 lines are empty, such as that of 'train/a/2.png'",
    ]


def test_a_list_with_strangers_is_warned_of_and_one_of_few_images_is_not(tmp_path, caplog):
    rows = moved(tmp_path, "image\ntrain/a/1.png\n")
    assert listed(rows, tmp_path, "cameras.csv", "evaluate.slices") == [True, False, False]
    assert caplog.messages == []
    moved(tmp_path, "image\ntrain/a/1.png\ntrain/a/7.png\n")
    assert listed(rows, tmp_path, "cameras.csv", "evaluate.slices") == [True, False, False]
    (told,) = caplog.messages
    assert told == "evaluate.slices 'cameras.csv': 1 of 2 lines name no image here, such as 'train/a/7.png'"


def test_a_file_name_that_two_splits_share_is_ambiguous_and_an_index_column_is_passed_over(tmp_path):
    rows = moved(tmp_path, ",image,camera\n0,train/a/1.png,x\n1,train/a/2.png,y\n2,test/a/1.png,x\n")
    assert column_values(rows, tmp_path, "camera", "p") == [{"x"}, {"y"}, {"x"}]
    rows = moved(tmp_path, "image,camera\n1.png,x\n2.png,y\n")
    with pytest.raises(UserError, match=r"p 'camera': 1 of 2 names are ambiguous: '1\.png' may mean 'a/train/1\.png'"):
        column_values(rows, tmp_path, "camera", "p")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("image,camera,camera \ntrain/a/1.png,x,y\n", "2 columns are called 'camera'"),
        ("image,camera\ntrain/a/1.png,x\ntrain/a/2.png,Smith, John\n", "line 2 has more cells than the header"),
    ],
)
def test_a_table_whose_cells_are_unclear_is_refused(tmp_path, text, reason):
    with pytest.raises(UserError, match=rf"cameras\.csv: {reason}"):
        column_values(moved(tmp_path, text), tmp_path, "camera", "p")


def test_a_quoted_header_after_a_byte_order_mark_and_cells_with_commas_are_read(tmp_path):
    rows = moved(tmp_path, '\ufeff"image" , "camera"\r\n"train/a/1.png", "x, y"\r\n\r\n')
    assert column_values(rows[:1], tmp_path, "camera", "p") == [{"x, y"}]
