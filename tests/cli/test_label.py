"""`vit label`: a table of proposed labels, by class names and a tiny pair or by a model, which data.labels reads."""

import csv
import json
from pathlib import Path

import pytest

from tests.drawn import draw
from tests.presets import preset
from tests.shapes import shapes, untrained
from tests.towers import write_pair
from vit.data.sources.fetch import SOURCES

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pair")
    write_pair("CLIP", folder)
    return folder


@pytest.fixture
def images(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for seed in range(12):
        draw(tmp_path / f"found/{seed // 6}/{seed:02d}.png", seed, height=4, width=4)
    return Path("found")


def rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.open(encoding="utf-8")))


def test_labels_from_class_names_are_a_table_that_the_pipeline_reads(vit, printed, images, pair, tmp_path):
    command = ("label", str(images), "--classes", "black_cat, dog", "--model", str(pair))
    said = printed(*command)
    table = rows(images / "labels.csv")
    assert len(table) == 12 and {row["label"] for row in table} == {"black_cat", "dog"}
    assert {row["file"] for row in table} == {f"{seed // 6}/{seed:02d}.png" for seed in range(12)}
    confidences = [float(row["confidence"]) for row in table]
    assert confidences == sorted(confidences) and 0.5 <= confidences[0] < confidences[-1] <= 1
    assert "found/labels.csv: 12 images, the least confident first: " in said
    data = preset(
        tmp_path, "digits", {"data.source": "folder", "data.path": str(images), "data.labels": "labels.csv"}
    ).data
    for folder in ("raw", "tables"):
        (tmp_path / folder).mkdir()
    SOURCES["folder"].fetch(data, tmp_path / "raw", tmp_path / "tables")
    found = {path.name: path.relative_to(tmp_path / "raw").parts[0] for path in (tmp_path / "raw").rglob("*.png")}
    assert found == {Path(row["file"]).name: row["label"] for row in table}

    (images / "torn.png").write_bytes(b"meow")
    (images / "labels.csv").write_text("file,label\nmine,kept\n")
    status, out, err = vit(*command)
    assert (status, out) == (1, "") and "found/labels.csv exists already, perhaps with your corrections" in err
    assert (images / "labels.csv").read_text() == "file,label\nmine,kept\n"
    status, out, err = vit(*command, "--force", "--min-confidence", str(confidences[-1]), "--template", "the {}")
    assert status == 1 and "error: " in err and "torn.png" in err and "1 unreadable images are not in it" in out
    again = rows(images / "labels.csv")
    assert len(again) == 12 and [float(row["confidence"]) for row in again] != confidences
    assert {row["label"] for row in again if float(row["confidence"]) < confidences[-1] - 1e-4} <= {""}


def test_labels_from_a_trained_model(printed, images, tmp_path):
    classifier = untrained(preset(tmp_path, "shapes", {"train.device": "cpu"}), shapes(tmp_path, 2))
    classifier.save(tmp_path / "model", classifier.model.state_dict())
    printed("label", str(images), "--model", "model", "--out", "proposed/mine.csv")
    expected = classifier.classify(sorted(images.rglob("*.png")))
    found = {row["file"]: row["label"] for row in rows(tmp_path / "proposed/mine.csv")}
    assert [found[name] for name in sorted(found)] == [answer["label"] for answer in expected]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--classes", "cat,dog"), "--classes needs a CLIP or SigLIP pair; name it with --model, for example hf-hub:"),
        (("--classes", "cat", "--model", "PAIR"), "--classes 'cat': name at least two classes"),
        (("--classes", "cat,dog,cat", "--model", "PAIR"), "--classes 'cat,dog,cat': 'cat' occurs twice"),
        (("--classes", "a_b,a b", "--model", "PAIR"), "--classes: classes 'a_b', 'a b' are the same words"),
        (("--classes", "cat,dog", "--model", "absent"), "--model 'absent' is not a folder with config.json and"),
        (("--classes", "cat,dog", "--model", "PAIR", "--template", "x"), "--template 'x': must hold {} once"),
        (("--model", "PAIR"), "knows no classes of its own; name them with --classes"),
        (("--template", "the {}"), "--template describes the names of --classes, which are missing"),
        (("--out", "x.txt"), "--out x.txt: must be a file that ends in .csv"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(refused, images, pair, options, message):
    said = refused("label", str(images), *(str(pair) if one == "PAIR" else one for one in options))
    assert message in said and not list(Path().rglob("*.csv"))


def test_a_pair_that_does_not_say_how_its_images_are_made_is_refused(refused, images, pair, tmp_path):
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((pair / name).read_bytes())
    said = refused("label", str(images), "--classes", "cat,dog", "--model", str(tmp_path))
    assert "has no preprocessor_config.json, which says how images are normalized" in said
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "vit"}))
    said = refused("label", str(images), "--classes", "cat,dog", "--model", str(tmp_path))
    assert "has no text tower that is known here: its config.json has model_type 'vit'" in said
