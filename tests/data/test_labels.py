"""Classes from a table of labels."""

import json
import logging
import shutil
from pathlib import Path

import pytest

from tests.data.copied import contents
from tests.drawn import draw
from vit.config.schema import DataParams
from vit.data.manifest import list_images
from vit.data.sources.folder import fetch_folder
from vit.data.tables import column_values, listed
from vit.errors import UserError

pytestmark = pytest.mark.long

KAGGLE = "id,label,camera\n" + "".join(
    f"{number:04d},{'cat' if number % 2 else 'dog'},c{number % 3}\n" for number in range(6)
)
PARTED = ("train/1.png", "train/2.png", "train/3.png", "test/1.png")


def pets(folder: Path, tables: dict[str, str], images=tuple(f"train/{number:04d}.png" for number in range(6))) -> Path:
    for seed, image in enumerate(images):
        draw(folder / "pets" / image, seed=seed)
    for name, text in tables.items():
        (folder / "pets" / name).write_text(text, encoding="utf-8")
    return folder / "pets"


def fetched(root: Path, folder: Path, **params) -> tuple[dict[str, bytes], dict]:
    """The images by their paths in raw, and what is known."""
    raw, tables = folder / "work/raw", folder / "work/tables"
    shutil.rmtree(folder / "work", ignore_errors=True)
    raw.mkdir(parents=True)
    tables.mkdir()
    known = fetch_folder(DataParams(source="folder", path=str(root), **{"labels": "train.csv"} | params), raw, tables)
    return contents(raw), known


def test_ids_without_ending_name_the_images_of_one_folder_and_other_columns_are_kept(tmp_path):
    root = pets(tmp_path, {"train.csv": KAGGLE})
    found, known = fetched(root, tmp_path)
    assert set(found) == {f"{'cat' if number % 2 else 'dog'}/{number:04d}.png" for number in range(6)}
    assert found["cat/0003.png"] == (root / "train/0003.png").read_bytes()
    assert known["labels"] == {
        "lines": 6,
        "unknown_files": 0,
        "lines_without_label": 0,
        "images_without_line": 0,
        "contradictory_images": 0,
        "repeated_images": 0,
    }
    rows = list_images(tmp_path / "work/raw")
    assert column_values(rows, tmp_path / "work/tables", "camera", "split.group_column") == [
        {f"c{int(Path(row.path).stem) % 3}"} for row in rows
    ]
    assert all(listed(rows, tmp_path / "work/tables", "train.csv", "evaluate.slices"))


@pytest.mark.parametrize(
    ("header", "cell"),
    [
        ("filename,label", "{:04d}.png"),
        ("image,class", "train/{:04d}.png"),
        ("label,path", "train\\{:04d}.png"),
        ("\ufeffimage_id, Species ", " {:04d}\u00a0"),
        (",file,breed", "{:04d}.png"),
        ("breed,what_it_shows", "pets/train/{:04d}.png"),
    ],
)
def test_columns_are_found_by_what_they_hold_and_are_called(tmp_path, header, cell):
    lines = []
    for number in range(6):
        name, label = cell.format(number), ["dog", "cat "][number % 2]
        swapped = header.startswith(("label", "breed"))
        first = f"{number}," if header.startswith(",") else ""
        lines.append(first + (f"{label},{name}" if swapped else f"{name},{label}"))
    found, _ = fetched(pets(tmp_path, {"train.csv": "\n".join([header, *lines])}), tmp_path)
    assert set(found) == {f"{'cat' if number % 2 else 'dog'}/{number:04d}.png" for number in range(6)}


def test_numbers_are_labels_and_a_second_table_names_them(tmp_path):
    table = "id,target\n" + "".join(f"{number:04d},{number % 2}.0\n" for number in range(6))
    root = pets(
        tmp_path, {"train.csv": table, "names.csv": "target,name,wikipedia\n0,dog,Dog\n1,tabby/cat,Cat\n2,emu,Emu\n"}
    )
    assert {name.split("/")[0] for name in fetched(root, tmp_path)[0]} == {"0", "1"}
    assert {name.split("/")[0] for name in fetched(root, tmp_path, class_names="names.csv")[0]} == {"dog", "tabby_cat"}


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (
            "target,name\n0,dog\n",
            r"1 of 2 labels have no line, such as '1', but its column 'target' holds values such as '0'",
        ),
        ("target,name\n0,dog\n1,cat\n1,lion\n", r"label '1' has two names, 'cat' and 'lion'"),
        ("target,name\n0,dog\n1,\n", r"label '1' has no name"),
        ("target,a,b\n0,dog,x\n1,cat,y\n", r"it needs two columns, label and name"),
    ],
)
def test_a_table_of_names_that_names_no_class_or_two_is_refused(tmp_path, names, reason):
    table = "id,target\n" + "".join(f"{number:04d},{number % 2}\n" for number in range(6))
    root = pets(tmp_path, {"train.csv": table, "names.csv": names})
    with pytest.raises(UserError, match=rf"data\.class_names 'names\.csv': {reason}"):
        fetched(root, tmp_path, class_names="names.csv")


def test_what_table_and_images_lack_is_left_out_counted_and_told_with_an_example(tmp_path, caplog):
    table = "".join(
        [
            "0000,dog\n",
            "0000, dog\n",
            "0001,cat\n",
            "0001,dog\n",
            "0002,dog\n",
            "0003,\u00a0\n",
            "9999,dog\n",
            "0004,cat\n",
        ]
    )
    with caplog.at_level(logging.INFO, "vit"):
        found, known = fetched(pets(tmp_path, {"train.csv": f"id,label\n{table}"}), tmp_path)
    assert set(found) == {"dog/0000.png", "dog/0002.png", "cat/0004.png"}
    assert known["labels"] == {
        "lines": 8,
        "unknown_files": 1,
        "lines_without_label": 1,
        "images_without_line": 1,
        "contradictory_images": 1,
        "repeated_images": 1,
    }
    told = [text.removeprefix("data.labels 'train.csv': ") for text in caplog.messages]
    assert told == [
        "1 lines name no image here, such as '9999'",
        "1 lines have no label; their images are left out, such as '0003'",
        "1 images have no line and are left out, such as 'train/0005.png'",
        "1 images have contradictory labels and are left out, such as 'train/0001.png'",
        "1 images have several lines with the same label and are used once, such as 'train/0000.png'",
    ]


def test_folders_train_and_test_stay_splits_and_one_of_them_alone_is_none(tmp_path):
    images = ("x/train/a.png", "x/train/b.png", "x/train/e.png", "x/test/c.png", "x/test/d.png")
    root = pets(tmp_path, {"train.csv": "file,label\na,cat\nb,dog\ne,dog\nc,cat\nd,dog\n"}, images)
    assert set(fetched(root, tmp_path)[0]) == {
        *("cat/train/a.png", "dog/train/b.png", "dog/train/e.png"),
        *("cat/test/c.png", "dog/test/d.png"),
    }
    (root / "train.csv").write_text("file,label\na,cat\nb,dog\ne,dog\n")
    assert set(fetched(root, tmp_path)[0]) == {"cat/a.png", "dog/b.png", "dog/e.png"}


def test_of_files_called_the_same_those_beside_their_table_are_meant_else_they_are_refused(tmp_path):
    root = pets(tmp_path, {"train.csv": "id,label\n1,cat\n2,dog\n3,dog\n"}, PARTED)
    assert set(fetched(root, tmp_path)[0]) == {"cat/1.png", "dog/2.png", "dog/3.png"}
    (root / "train.csv").rename(root / "labels.csv")
    with pytest.raises(
        UserError, match=r"'labels\.csv': 1 of 3 names are ambiguous: '1' may mean 'test/1\.png' or 'train"
    ):
        fetched(root, tmp_path, labels="labels.csv")


@pytest.mark.parametrize(
    ("table", "params", "reason"),
    [
        ("id,label\n9,cat\n8,dog\n", {}, r"none of its 2 lines names one of the 6 images; they hold such as '9'"),
        ("filename,tom,jerry\n0000.png,1,0\n0001.png,0,1\n", {}, r"the labels could be in \['tom', 'jerry'\]"),
        ("id,image,label\n0000,0000.png,a\n0001,0001.png,b\n", {}, r"\['id', 'image'\] could name the images"),
        ("id,label\n0000,a\n0001,b\n0002,c\n", {}, r"each of the 3 images has a label of its own in column 'label'"),
        ("id,label\n0000,a\n0000,b\n0001,a\n0001,b\n0002,a\n", {}, r"2 of 3 images have several labels"),
        ("id,label\n0000,a\n0001,a\n", {}, r"one class only \('a'\)"),
        ("id,label\n", {}, r"it has no lines below its header"),
        ("id,label\n0000,a\n", {"label_column": "breed"}, r"'breed': 'train\.csv' has no such column"),
        ("id,label\n0000,a\n", {"label_column": "id"}, r"none of its 1 lines names|data\.file_column"),
        ("id,label\n0000,a\n", {"labels": "labels.csv"}, r"no such file in .*; it holds 'train\.csv'"),
    ],
)  # fmt: skip
def test_a_table_that_is_missing_unclear_or_of_no_use_is_refused(tmp_path, table, params, reason):
    root = pets(tmp_path, {"train.csv": table})
    before = contents(root)
    with pytest.raises(UserError, match=reason):
        fetched(root, tmp_path, **params)
    assert contents(root) == before


def test_columns_that_are_unclear_can_be_named(tmp_path):
    table = "id,image,breed,colour\n0000,0001.png,a,x\n0001,0002.png,b,y\n0002,0003.png,a,y\n"
    root = pets(tmp_path, {"train.csv": table})
    found, _ = fetched(root, tmp_path, file_column="image", label_column="colour")
    assert set(found) == {"x/0001.png", "y/0002.png", "y/0003.png"}


def test_an_archive_with_a_table_gives_the_same_images(tmp_path):
    root = pets(tmp_path, {"train.csv": KAGGLE})
    archive = Path(shutil.make_archive(str(tmp_path / "pets"), "zip", root))
    from_folder, _ = fetched(root, tmp_path)
    assert fetched(archive, tmp_path)[0] == from_folder
    sources = json.loads((tmp_path / "work/tables/source_paths.json").read_text())
    assert sources["root"] == "pets" and sources["paths"]["cat/0001.png"] == "train/0001.png"
    assert str(tmp_path) not in json.dumps(sources)
