"""`vit check` over a folder: its lines, its status, what it writes, and images that are not those asked for."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import documented
from tests.presets import write_preset
from tests.shapes import CLASSES, shapes
from vit.config.params_file import load_params
from vit.data.images import SETTINGS
from vit.data.pack import channel_statistics
from vit.files import write_json, write_table

pytestmark = pytest.mark.long

SMALL = {"train.device": "cpu", "train.threads": 1, "train.epochs": 30}


@pytest.fixture
def packed(tmp_path, monkeypatch) -> Path:
    """A project whose images are packed, as the stages leave it."""
    monkeypatch.chdir(tmp_path)
    part = shapes(tmp_path, 50)
    write_preset(tmp_path / "params.yaml", "shapes", SMALL)
    folder = tmp_path / "data/packed"
    folder.mkdir(parents=True)
    np.save(folder / "train_images.npy", part.images.numpy())
    np.save(folder / "train_labels.npy", part.labels.numpy())
    settings = load_params().pack.model_dump(include=set(SETTINGS))
    write_json(
        folder / "preprocessing.json", {"classes": CLASSES, **settings, **channel_statistics(part.images.numpy())}
    )
    write_json(folder / "mode.json", {"mode": "arrays"})
    rows = [{"path": f"{n}.png", "label": CLASSES[label], "group": f"{n}"} for n, label in enumerate(part.labels)]
    (tmp_path / "data/splits").mkdir()
    write_table(tmp_path / "data/splits/train.csv", rows)
    return tmp_path


def test_a_line_per_question_a_report_and_status_0_if_all_is_good(packed, vit):
    status, out, err = vit(*documented("vit check").split()[1:], "--budget", "600")
    assert (status, err) == (0, "")
    *lines, conclusion = out.splitlines()
    assert len(lines) == 8 and all(line.startswith("GOOD  ") for line in lines)
    assert conclusion.startswith("8 of 8 good (") and conclusion.endswith("are in .vit/check")
    written = {path.name for path in (packed / ".vit/check").iterdir()}
    assert {
        "report.md",
        "report.json",
        "learning_rate.png",
        "labels.png",
        "contradicted.csv",
        "augmentations.png",
    } < written


def test_a_bad_answer_has_a_way_out_and_status_1_also_as_json(packed, vit):
    write_preset(packed / "params.yaml", "shapes", SMALL | {"train.lr": 2.0})
    status, out, err = vit("check", "--json", "--budget", "600")
    assert (status, err) == (1, "")
    found = {one["question"]: one for one in json.loads(out)}
    assert found["rate"]["verdict"] == "bad" and found["rate"]["way_out"].startswith("train.lr from 2 to ")
    assert found["labels"]["verdict"] == "open"
    assert json.loads((packed / ".vit/check/report.json").read_text()) == json.loads(out)


def test_what_finds_no_time_is_listed_as_open_with_status_1(packed, vit):
    status, out, err = vit("check", "--budget", "0.001")
    assert (status, err) == (1, "")
    assert "open: device, loss, gradients, rate, overfit, decay, labels, augmentations" in out.splitlines()[-1]
    assert vit("check", "--budget", "0")[0] == 2


def test_images_that_are_missing_or_not_those_of_params_are_refused_with_what_to_run(packed, refused):
    write_preset(packed / "params.yaml", "shapes", SMALL | {"pack.image_size": [16, 16]})
    assert "pack.image_size [8, 8], params.yaml [16, 16]; run `dvc repro pack`" in refused("check")
    write_preset(packed / "params.yaml", "shapes", SMALL | {"data.seed": 5})
    stages = {name: {"params": {"params.yaml": {"data": {"seed": 0}}}} for name in ("download", "split", "pack")}
    write_json(packed / "dvc.lock", {"stages": stages})
    assert "data.seed 0, params.yaml has 5; run `dvc repro pack`" in refused("check")
    (packed / "data/packed/preprocessing.json").unlink()
    assert "not packed yet; run `dvc repro pack`" in refused("check")


def test_weights_that_were_not_fetched_are_refused_with_what_to_run(packed, refused):
    write_preset(packed / "params.yaml", "shapes", SMALL | {"train.init_from": "weights/base.pth"})
    assert "run `dvc repro weights`" in refused("check")
