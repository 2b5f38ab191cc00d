"""`vit label`: a table of proposed labels, by class names and a tiny pair or by a model, which data.labels reads."""

import csv
import json
import signal
from pathlib import Path

import pytest

from tests.drawn import draw
from tests.presets import preset
from tests.shapes import shapes, untrained
from tests.towers import write_pair
from vit.data.images import load_image
from vit.data.sources.fetch import SOURCES
from vit.files import write_table
from vit.inference import labelling

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


def downloaded(images: Path, folder: Path) -> dict[str, str]:
    """The class of each image, by file name, that the pipeline takes from the table in `images`."""
    settings = {"data.source": "folder", "data.path": str(images), "data.labels": "labels.csv"}
    for name in ("raw", "tables"):
        (folder / name).mkdir()
    SOURCES["folder"].fetch(preset(folder, "digits", settings).data, folder / "raw", folder / "tables")
    return {path.name: path.relative_to(folder / "raw").parts[0] for path in (folder / "raw").rglob("*.png")}


def test_labels_from_class_names_are_a_table_that_the_pipeline_reads(vit, printed, images, pair, tmp_path):
    command = ("label", str(images), "--classes", "black_cat, dog", "--model", str(pair))
    said = printed(*command)
    table = rows(images / "labels.csv")
    assert len(table) == 12 and {row["label"] for row in table} == {"black_cat", "dog"}
    assert {row["file"] for row in table} == {f"{seed // 6}/{seed:02d}.png" for seed in range(12)}
    confidences = [float(row["confidence"]) for row in table]
    assert confidences == sorted(confidences) and 0.5 <= confidences[0] < confidences[-1] <= 1
    assert "found/labels.csv: 12 images, the least confident first: " in said
    assert "data.source: folder, data.path: found, data.labels: labels.csv, data.label_column: label\n" in said
    assert downloaded(images, tmp_path) == {Path(row["file"]).name: row["label"] for row in table}

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


def test_the_images_are_those_that_the_pipeline_will_see_under_odd_names_too(vit, images, tmp_path):
    classifier = untrained(preset(tmp_path, "shapes", {"train.device": "cpu"}), shapes(tmp_path, 2))
    classifier.save(tmp_path / "model", classifier.model.state_dict())
    odd = ["Screenshot 9.41\u202fAM.png", "cafe\u0301 \U0001f469\u200d\U0001f52c.png", 'a, "b".png']
    unseen = [".thumbs/1.png", "__MACOSX/1.png", "two\nlines.png"]
    for seed, name in enumerate([*odd, *unseen], 20):
        draw(images / name, seed, height=4, width=4)
    (images / "away.png").symlink_to(draw(tmp_path / "elsewhere.png", 30))
    status, out, err = vit("label", str(images), "--model", "model")
    assert status == 1 and err.splitlines() == [
        "error: 'two\\nlines.png': a table cannot hold this name; rename the file"
    ]
    assert "1 links lead out of found and are left out, such as away.png" in out
    table = rows(images / "labels.csv")
    names = {row["file"] for row in table}
    assert len(names) == 15 and {*odd} <= names and not {*unseen} & names
    for number, row in enumerate(table):
        row["label"] = f"corrected {number % 2}"
    write_table(images / "labels.csv", table)
    (images / "two\nlines.png").unlink()
    assert downloaded(images, tmp_path) == {Path(row["file"]).name: row["label"] for row in table}


def test_an_interrupted_labelling_keeps_the_batches_that_are_done(vit, images, tmp_path, monkeypatch):
    classifier = untrained(preset(tmp_path, "shapes", {"train.device": "cpu"}), shapes(tmp_path, 2))
    classifier.save(tmp_path / "model", classifier.model.state_dict())
    last = draw(images / "2/99.png", 99, height=4, width=4)
    monkeypatch.setattr(labelling, "BATCH_SIZE", 5)

    def load(path, **settings):
        if path.name == last.name:
            signal.raise_signal(signal.SIGINT)
        return load_image(path, **settings)

    monkeypatch.setattr(labelling, "load_image", load)
    status, _, err = vit("label", "found", "--model", "model")
    assert status == 130 and err.splitlines()[-1].endswith("interrupted; found/labels.csv holds 10 of 13 images")
    assert {row["file"] for row in rows(images / "labels.csv")} == {f"{seed // 6}/{seed:02d}.png" for seed in range(10)}


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
        (("--out", "found/0/00.png/x.csv"), "found/0/00.png/x.csv cannot be written ("),
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
