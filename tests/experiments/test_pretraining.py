"""The guide's steps for images without labels, through DVC and MLflow."""

import shutil

import pytest
import safetensors.torch
import torch
from PIL import Image

from tests.conftest import clone
from tests.presets import write_preset
from tests.store import look, stages_run
from vit.files import read_json, read_table, sha256_of

FEW = {"data.shapes_per_class": 30, "train.epochs": 2, "train.warmup_epochs": 1, "evaluate.explain_images": 0}
FEW |= {"evaluate.svc_baseline": False, "evaluate.invariance": [], "train.threads": 1}


@pytest.mark.slow
def test_the_encoder_learns_from_unlabelled_images_and_the_model_says_so(tmp_path):
    project = clone(tmp_path / "project")
    write_preset(project.folder / "params.yaml", "shapes", FEW | {"pretrain.epochs": 2, "pretrain.batch_size": 32})
    failed = project.run("dvc repro", succeeds=False)
    assert "error: pretraining has no image to learn from in unlabelled/; put images there" in failed.stderr

    for number in range(20):
        noise = Image.effect_noise((16, 16), 40 + number)
        noise.save(project.folder / f"unlabelled/{number:02}.png")
    path = read_table(project.folder / "data/splits/test.csv")[0]["path"]
    shutil.copyfile(project.folder / "data/raw" / path, project.folder / "unlabelled/of_test.png")
    done = project.run("dvc repro")
    assert stages_run(done.stdout) == ["pretrain", "features", "train", "evaluate", "register"]
    assert "20 images without labels and 84 of train (1 near test left out), cpu, float32" in done.stdout
    assert "started from data/pretrained: new head for 4 classes, because pretraining learned none\n" in done.stdout

    record = read_json(project.folder / "data/pretrained/record.json")
    weights = project.folder / "data/pretrained/model.safetensors"
    assert record["sha256"] == sha256_of(weights) and record["left_out"]["near test"] == 1
    (row,) = read_table(project.folder / "data/pretrained/left_out.csv")
    assert row == {"path": "of_test.png", "reason": "near test", "detail": path}
    held = look(project)
    assert held.runs[0].data.params["pretrain.epochs"] == "2"
    assert (
        held.runs[0].data.tags["pretrained_sha256"] == held.versions[0].tags["pretrained_sha256"] == sha256_of(weights)
    )
    assert (
        "pretrained by masked autoencoding on 20 images without labels, then fine-tuned" in held.versions[0].description
    )
    assert held.versions[0].tags["pretrained_unlabelled_images"] == "20"
    assert not [folder for folder in (project.folder / "checkpoints").glob("*") if list(folder.glob("*.pt"))]

    first = weights.read_bytes()
    project.run("rm -rf data/pretrained && dvc repro --force --single-item --no-run-cache pretrain")
    assert weights.read_bytes() == first
    pretrained = safetensors.torch.load(first)
    trained = safetensors.torch.load_file(project.folder / "model/model.safetensors")
    assert {*trained} - {*pretrained} == {"head.weight", "head.bias"}
    alike = [
        torch.nn.functional.cosine_similarity(trained[name].flatten(), weight.flatten(), dim=0).item()
        for name, weight in pretrained.items()
        if weight.ndim > 1
    ]
    assert min(alike) > 0.5  # two short epochs later
