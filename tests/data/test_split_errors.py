from pathlib import Path

import pytest

from tests.data.findings import findings_of, row_of, settings
from tests.presets import preset
from vit.data.split import assign
from vit.errors import UserError

# Each: the values of the block `split` that replace those of presets/shapes.yaml, and what the message must hold.
BAD_VALUES = {
    "unknown strategy": ({"strategy": "stratified"}, ["split.strategy", "'stratified'", "'auto'", "'folders'"]),
    "no strategy": ({"strategy": None}, ["split.strategy", "null"]),
    "val of nothing": ({"val_fraction": 0.0}, ["split.val_fraction", "0.0", "greater than 0"]),
    "test of everything": ({"test_fraction": 1.0}, ["split.test_fraction", "1.0", "less than 1"]),
    "fractions of one": (
        {"val_fraction": 0.4, "test_fraction": 0.6},
        ["split: val_fraction 0.4 + test_fraction 0.6", "below 1"],
    ),
    "one fold": ({"folds": 1}, ["split.folds", "1", "2"]),
    "folds in words": ({"folds": "five"}, ["split.folds", "'five'", "integer"]),
    "fold beyond the folds": ({"folds": 3, "fold": 3}, ["split: fold 3", "the 3 folds", "from 0"]),
    "fold below zero": ({"fold": -1}, ["split.fold", "-1", "0"]),
    "no fold": ({"fold": None}, ["split.fold", "null"]),
    "empty block": ({"block_size": 0}, ["split.block_size", "0", "1"]),
    "half a block": ({"block_size": 7.5}, ["split.block_size", "7.5", "integer"]),
    "negative gap": ({"gap": -1}, ["split.gap", "-1", "0"]),
    "empty column": ({"group_column": ""}, ["split.group_column", "''"]),
    "number for a column": ({"group_column": 3}, ["split.group_column", "3", "string"]),
    "regex without brackets": (
        {"group_regex": r"scene\d+"},
        [r"split: group_regex 'scene\d+' has 0 capturing groups", "one"],
    ),
    "regex with two brackets": ({"group_regex": r"(\d+)_(\d+)"}, [r"group_regex '(\d+)_(\d+)' has 2 capturing groups"]),
    "regex that is none": (
        {"group_regex": "(scene"},
        ["group_regex '(scene' is not a valid regular expression", "position 0"],
    ),
    "empty regex": ({"group_regex": ""}, ["split.group_regex", "''"]),
    "column and regex": (
        {"group_column": "patient", "group_regex": "(.)"},
        ["group_column 'patient'", "group_regex '(.)'", "both set"],
    ),
    "subset of none": ({"subset_per_class": 0}, ["split.subset_per_class", "0", "1"]),
    "broken beyond all": ({"max_broken_fraction": 1.5}, ["split.max_broken_fraction", "1.5", "1"]),
    "broken below none": ({"max_broken_fraction": -0.1}, ["split.max_broken_fraction", "-0.1", "0"]),
    "broken in percent": ({"max_broken_fraction": "1%"}, ["split.max_broken_fraction", "'1%'", "number"]),
    "margin above one": ({"leakage_margin": 2}, ["split.leakage_margin", "2", "1"]),
    "failing in words": ({"fail_on_leakage": "yes"}, ["split.fail_on_leakage", "'yes'", "boolean"]),
    "seed of text": ({"seed": "first"}, ["split.seed", "'first'", "integer"]),
    "misspelt key": ({"blocksize": 5}, ["unknown key 'split.blocksize'", "'split.block_size'"]),
}


@pytest.mark.parametrize(("changes", "fragments"), BAD_VALUES.values(), ids=BAD_VALUES)
def test_a_bad_value_of_the_split_is_refused_by_its_key_and_value(tmp_path, changes, fragments):
    with pytest.raises(UserError) as caught:
        preset(tmp_path, "shapes", {f"split.{key}": value for key, value in changes.items()})
    for fragment in [str(tmp_path / "params.yaml"), *fragments]:
        assert fragment in str(caught.value)
    assert "\n" not in str(caught.value)


NAMED = [f"{label}/{name}.png" for label in ("cat", "dog") for name in "stuvwxyz"]  # 16 images without a number
VIDEO = [f"{'ab'[number // 10 % 2]}/f{number}.png" for number in range(60)]

# Each: paths, strategy, changed values, and what the message must hold.
BAD_DATA = {
    "regex that matches nothing": (
        NAMED,
        "groups",
        {"group_regex": "scene(.)"},
        ["split.group_regex 'scene(.)'", "16 of 16 paths", "'cat/s.png'", "every path"],
    ),
    "regex that matches some": (
        NAMED, "groups", {"group_regex": "cat/(.)"}, ["no group in 8 of 16 paths", "'dog/s.png'"],
    ),
    "regex that matches the empty text": (NAMED, "groups", {"group_regex": "(scene)?"}, ["no group in 16 of 16"]),
    "blocks without numbers": (NAMED, "blocks", {}, ["split.strategy is blocks", "no file name carries", "groups or"]),
    "folders without parts": (
        NAMED, "folders", {}, ["split.strategy is folders", "'cat/s.png' in none of train, val and test"],
    ),
    "folders without some part": (
        ["a/train/x.png", "a/test/y.png", "a/z.png"], "folders", {}, ["but the source has 'a/z.png' in none of train"],
    ),
    "folders without test": (
        ["a/train/x.png", "a/train/y.png", "a/val/z.png"], "folders", {}, ["folders leaves the test split empty"],
    ),
    "folders without train": (
        ["a/test/x.png", "a/test/y.png"], "folders", {}, ["folders leaves the train split empty"],
    ),
    "folds of folders without train": (["a/test/x.png"], "folders", {"folds": 2}, ["0 groups", "split.folds 2"]),
    "folders with a class that is only tested": (
        ["a/train/w.png", "a/train/x.png", "a/test/y.png", "b/test/z.png"],
        "folders",
        {},
        ["folders leaves class 'b' without an image to train on"],
    ),
    "folds larger than groups": (
        NAMED, "groups", {"group_regex": "(cat|dog)", "folds": 3},
        ["2 groups cannot make split.folds 3", "fewer folds"],
    ),
    "folds larger than blocks": (VIDEO, "blocks", {"block_size": 30, "folds": 4}, ["2 groups", "split.folds 4"]),
    "one block": (VIDEO, "blocks", {"block_size": 1000}, ["1 group(s) ('f# 00000' ...) cannot fill train, val and"]),
    "a class in each group": (
        NAMED, "groups", {"group_regex": "(cat|dog)"}, ["2 group(s) ('cat' ...)", "each class to train on", "smaller"],
    ),
    "huge gap": (VIDEO, "blocks", {"block_size": 10, "gap": 10**15}, ["blocks leaves the", "split empty", "gap"]),
    "one image of each class": (
        ["a/x.png", "b/y.png", "c/z.png"], "random", {}, ["random leaves the val split empty", "split.val_fraction"],
    ),
    "fold of lone images": (["a/x.png", "b/y.png"], "random", {"folds": 2}, ["leaves the val split empty"]),
}  # fmt: skip


@pytest.mark.parametrize(("paths", "strategy", "changes", "fragments"), BAD_DATA.values(), ids=BAD_DATA)
def test_data_that_cannot_be_split_so_are_refused_with_the_reason(paths, strategy, changes, fragments):
    findings = findings_of([row_of(path) for path in paths])
    with pytest.raises(UserError) as caught:
        assign(strategy, findings, settings(**changes), Path("no tables"))
    for fragment in fragments:
        assert fragment in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_class_that_the_gap_takes_from_train_is_named():
    # Class b is frames 20 and 29 of the block 20 to 29, which is therefore trained on. If the blocks on both its sides
    # are held out, a gap of 8 reaches to 27 from the one and to 22 from the other, and b is gone.
    rows = [row_of(f"{'b' if number in (20, 29) else 'a'}/f{number}.png") for number in range(50)]
    refused = 0
    for seed in range(20):
        try:
            parts = assign("blocks", findings_of(rows), settings(block_size=10, gap=8, seed=seed), Path("no tables"))
            assert "b" in {row.label for row in parts["train"]}
        except UserError as error:
            refused += "leaves class 'b' without an image to train on" in str(error)
    assert refused > 0


GOOD = "file,patient\n" + "".join(f"{path},{index // 2}\n" for index, path in enumerate(NAMED))

# Each: the CSVs beside the images, split.group_column, and what the message must hold.
BAD_TABLES = {
    "no table": ({}, "patient", ["split.group_column 'patient'", "there are no CSVs"]),
    "table without the column": ({"a.csv": GOOD}, "subject", ["'subject'", "there are ['file', 'patient']"]),
    "columns between semicolons": ({"a.csv": GOOD.replace(",", ";")}, "patient", ["there are ['file;patient']"]),
    "two tables with the column": ({"a.csv": GOOD, "b.csv": GOOD}, "patient", ["2 CSVs beside the images have it"]),
    "column that names the images": ({"a.csv": GOOD}, "file", ["'file' is the table's first column", "name another"]),
    "empty table": ({"a.csv": ""}, "patient", ["there are no CSVs with lines"]),
    "header without lines": ({"a.csv": "file,patient\n"}, "patient", ["there are no CSVs with lines"]),
    "image that is missing": ({"a.csv": GOOD.replace("dog/v", "dog/q")}, "patient", ["no group for 'dog/v.png'"]),
    "image without a value": ({"a.csv": GOOD.replace("cat/t.png,0", "cat/t.png,")}, "patient", ["for 'cat/t.png'"]),
    "line that ends early": ({"a.csv": GOOD.replace("cat/t.png,0", "cat/t.png")}, "patient", ["for 'cat/t.png'"]),
    "name that two images have": ({"a.csv": GOOD.replace("cat/", "").replace("dog/", "")}, "patient", ["'cat/s.png'"]),
    "two groups of one image": (
        {"a.csv": f"{GOOD}cat/u.png,9\n"}, "patient", ["has 2 groups (1, 9) for 'cat/u.png'", "one line"],
    ),
    "Latin-1": ({"a.csv": GOOD.replace("patient", "été").encode("latin-1")}, "été", ["a.csv: not a CSV in UTF-8"]),
    "UTF-16": ({"a.csv": GOOD.encode("utf-16")}, "patient", ["a.csv: not a CSV in UTF-8"]),
    "endless cell": ({"a.csv": f"{GOOD}{'x' * 200_000},1\n"}, "patient", ["a.csv: not a CSV in UTF-8", "131072"]),
}  # fmt: skip


@pytest.mark.parametrize(("tables", "column", "fragments"), BAD_TABLES.values(), ids=BAD_TABLES)
def test_a_table_that_names_no_groups_is_refused_with_the_reason(tmp_path, tables, column, fragments):
    for name, content in tables.items():
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError) as caught:
        assign("groups", findings_of([row_of(path) for path in NAMED]), settings(group_column=column), tmp_path)
    for fragment in fragments:
        assert fragment in str(caught.value)


def test_the_table_that_the_bad_ones_are_made_of_is_good(tmp_path):
    (tmp_path / "a.csv").write_text(GOOD, encoding="utf-8")
    parts = assign("groups", findings_of([row_of(path) for path in NAMED]), settings(group_column="patient"), tmp_path)
    assert sum(map(len, parts.values())) == 16
