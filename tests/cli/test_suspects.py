import csv
import hashlib
import json
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Param
from PIL import Image

from tests.presets import preset, write_preset
from vit.config.files import PACKED, PREPROCESSING, RAW
from vit.config.params_file import flatten
from vit.files import write_json, write_table

pytestmark = pytest.mark.long

IMAGES = 24
FLIPPED = ("circle/05.png", "square/16.png")


def label_of(index: int) -> str:
    return "circle" if index < IMAGES // 2 else "square"


def path_of(index: int) -> str:
    return f"{label_of(index)}/{index:02d}.png"


def write_images() -> dict[str, str]:
    """Draw the images into data/raw; their digests by path."""
    digests = {}
    for index in range(IMAGES):
        file = RAW / path_of(index)
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), index * 10).save(file)
        digests[path_of(index)] = hashlib.sha256(file.read_bytes()).hexdigest()
    settings = {"image_size": [8, 8], "channels": 1, "fit": "crop", "margin": 0.0, "trim_bars": False}
    write_json(PACKED / PREPROCESSING, settings)
    return digests


def row_of(index: int) -> dict:
    """The models are 90 % sure of the true class, which is not the label of the FLIPPED ones."""
    label = label_of(index)
    right = 0.1 if path_of(index) in FLIPPED else 0.9
    of_circle = right if label == "circle" else 1 - right
    return {"path": path_of(index), "label": label, "group": path_of(index)} | {
        "p_circle": of_circle,
        "p_square": 1 - of_circle,
    }


def add_run(client: MlflowClient, digests: dict[str, str], parts: dict[str, list[int]], changes: dict) -> None:
    """A finished run with predictions for the images of val and test."""
    scratch = Path("scratch")
    scratch.mkdir(exist_ok=True)
    params = flatten(preset(scratch, "shapes", changes).model_dump(by_alias=True))
    run_id = client.create_run(client.get_experiment_by_name("vit").experiment_id, run_name="sweep").info.run_id
    client.log_batch(run_id, params=[Param(key, str(value)) for key, value in params.items()])
    images = [
        {"path": path_of(index), "label": label_of(index), "file_sha256": digests[path_of(index)]}
        for index in range(IMAGES)
    ]
    tables = {
        ("audit", "images.csv"): images,
        ("evaluation", "predictions.csv"): [row_of(index) for index in parts["test"]],
        ("evaluation", "val_predictions.csv"): [row_of(index) for index in parts["val"]],
    }
    for (folder, name), rows in tables.items():
        write_table(scratch / name, rows)
        client.log_artifact(run_id, str(scratch / name), folder)
    client.set_terminated(run_id)


def add_fold(client: MlflowClient, digests: dict[str, str], fold: int, folds: int = 2) -> None:
    parts = {
        part: [i for i in range(IMAGES) if i % folds == (fold + k) % folds] for k, part in enumerate(("test", "val"))
    }
    add_run(client, digests, parts, {"split.folds": folds, "split.fold": fold, "train.threads": 1})


def read(path: str) -> list[dict]:
    with Path(path).open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_sweep_lists_the_flipped_labels_with_digests_and_a_sheet(client, printed, refused, vit):
    digests = write_images()
    write_preset(Path("params.yaml"), "shapes", {"split.folds": 2})
    add_fold(client, digests, 0)
    assert "the sweep of 2 folds has no finished run of fold 1" in refused("suspects")
    assert not Path("suspects.csv").exists()

    add_fold(client, digests, 1)
    said = printed("suspects")
    assert "24 of 24 images" in said and "2 labels are suspected (8.3%)" in said
    rows = read("suspects.csv")
    assert [(row["path"], row["label"], row["suggested"], row["part"]) for row in rows] == [
        ("circle/05.png", "circle", "square", "test"),
        ("square/16.png", "square", "circle", "test"),
    ]
    assert [row["fold"] for row in rows] == ["1", "0"]
    assert [row["sha256"] for row in rows] == [digests[path] for path in FLIPPED]
    assert (float(rows[0]["p_label"]), float(rows[0]["p_suggested"])) == (pytest.approx(0.1), pytest.approx(0.9))
    assert Path("suspects.png").read_bytes().startswith(b"\x89PNG")

    assert "that is a lot" not in said

    found = json.loads(printed("suspects", "--json", "--top", "5", "--csv", "top.csv", "--out", "top.png"))
    assert (found["images"], found["total"], found["suspected"]) == (24, 24, 2)
    assert [one["suspected"] for one in found["suspects"]] == [True, True, False, False, False]
    assert len(read("top.csv")) == 5

    (RAW / FLIPPED[0]).write_bytes(b"another image")
    status, out, err = vit("suspects", "--csv", "again.csv")
    assert status == 1 and "list: again.csv" in out and len(read("again.csv")) == 2
    assert "circle/05.png is missing or is not the image of the run" in err


def test_without_a_sweep_val_and_test_of_the_latest_run_are_judged(client, printed, refused):
    assert "no finished run matches params.yaml; run `dvc repro`" in refused("suspects")
    digests = write_images()
    add_run(client, digests, {"test": list(range(0, 24, 2)), "val": list(range(1, 9, 2))}, {})
    found = json.loads(printed("suspects", "--json"))
    assert (found["images"], found["total"]) == (16, 24)
    assert [(one["path"], one["part"], one["fold"]) for one in found["suspects"]] == [
        ("circle/05.png", "val", None),
        ("square/16.png", "test", None),
    ]


def test_many_suspects_come_with_a_warning(client, printed):
    few = [5, 6, 16, 17, 18, 19]  # two of six labels are wrong
    add_run(client, write_images(), {"test": few[::2], "val": few[1::2]}, {})
    said = printed("suspects")
    assert "2 labels are suspected (33.3%)" in said and "that is a lot" in said


def test_folds_of_different_data_are_refused(client, refused):
    digests = write_images()
    write_preset(Path("params.yaml"), "shapes", {"split.folds": 2})
    add_fold(client, digests, 0)
    add_fold(client, digests | {path_of(3): "0" * 64}, 1)
    said = refused("suspects")
    assert "saw different data" in said and path_of(3) in said
