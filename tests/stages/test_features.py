"""train.frozen_layers all through the real stages: what they write, and that the served model is whole."""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

import stages.download
import stages.evaluate
import stages.features
import stages.pack
import stages.split
import stages.train
import stages.weights
from tests.conftest import Project, clone
from tests.presets import write_preset
from vit.config.params_file import load_params
from vit.data.decoded import load_part
from vit.errors import UserError
from vit.files import read_json, read_table
from vit.inference.classifier import Classifier
from vit.inference.features import features_of, stored_versions
from vit.inference.neighbours import neighbours_accuracy
from vit.models.families import new_model
from vit.training.temperature import temperature_on

pytestmark = pytest.mark.long

CHANGES = {
    "data.shapes_per_class": 30,
    "train.init_from": "weights/start.safetensors",
    "train.frozen_layers": "all",
    "train.feature_variations": 2,
    "train.augment.translate": 0.1,
    "train.epochs": 12,
    "train.lr": 0.03,
    "train.threads": 1,
    "train.device": "cpu",
    "evaluate.device": "cpu",
    "evaluate.svc_baseline": False,
    "evaluate.invariance": [],
    "evaluate.explain_images": 0,
}


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    return clone(tmp_path_factory.mktemp("features") / "project")


def test_the_stage_leaves_a_note_and_needs_no_torch_where_layers_are_trained(project):
    write_preset(project.folder / "params.yaml", "shapes")
    program = "import sys; from stages.features import main; main(); print('torch' in sys.modules)"
    done = project.run(f'{sys.executable} -c "{program}"')
    assert done.stdout.splitlines() == ["none: train.frozen_layers is not all", "False"]
    assert [path.name for path in (project.folder / "data/features").iterdir()] == ["README.txt"]


@pytest.fixture(scope="module")
def probed(project) -> Iterator[Path]:
    """The clone after the stages up to evaluate; its weights to start from are those of an untrained model."""
    threads, is_strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project.folder)
        patch.setenv("DVC_ROOT", str(project.folder))
        patch.setenv("MLFLOW_TRACKING_URI", "")
        write_preset(Path("params.yaml"), "shapes", CHANGES)
        model = load_params().model.model_dump()
        torch.manual_seed(7)
        start = new_model({"model": model, "image_size": [8, 8], "channels": 1, "classes": ["only"]})
        safetensors.torch.save_file(start.state_dict(), "weights/start.safetensors")
        for stage in ("download", "split", "pack", "weights", "features", "train", "evaluate"):
            getattr(stages, stage).main()
        yield project.folder
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(is_strict)


def test_the_published_model_is_the_frozen_one_with_a_new_head(probed):
    start = safetensors.torch.load_file("weights/start.safetensors")
    whole = safetensors.torch.load_file("model/model.safetensors")
    assert whole.keys() == start.keys() and whole["head.weight"].shape == (4, 32)
    assert all(torch.equal(whole[name], start[name]) for name in start if not name.startswith("head."))


def test_what_evaluate_says_is_what_the_whole_model_says_of_the_images(probed):
    classifier = Classifier.load(Path("model"))
    rows = read_table(Path("evaluation/predictions.csv"))
    paths = [Path("data/raw", row["path"]) for row in rows]
    found = np.array([[float(value) for key, value in row.items() if key.startswith("p_")] for row in rows])
    said = np.array([list(one["probabilities"].values()) for one in classifier.classify(paths)])
    assert np.abs(found - said).max() < 1e-6
    val = load_part(Path("data/packed"), "val", Path("data/raw"), Path("data/splits"))
    assert classifier.temperature == pytest.approx(temperature_on(val, classifier, 256), abs=1e-4)
    best = read_json(Path("metrics/train.json"))
    logits = torch.cat([classifier.logits(images) for images, _ in val.in_order(256)])
    assert best["best_val_accuracy"] == (logits.argmax(dim=1) == val.labels).double().mean().item()


def test_nearest_neighbours_stand_beside_both_results(probed):
    splits = {
        part: load_part(Path("data/packed"), part, Path("data/raw"), Path("data/splits"))
        for part in ("train", "val", "test")
    }
    classifier = Classifier.load(Path("model"))
    of = {name: features_of(classifier, part, 64) for name, part in splits.items()}
    on_val, on_test = (neighbours_accuracy(of["train"], of[part]) for part in ("val", "test"))
    assert read_json(Path("metrics/train.json"))["knn_val_accuracy"] == pytest.approx(on_val)
    assert read_json(Path("metrics/test.json"))["knn_accuracy"] == pytest.approx(on_test)
    stored = stored_versions(Path("data/features"), "train", splits["train"].labels)
    assert len(stored) == 3 and torch.allclose(stored[0].images, of["train"].images, atol=1e-5)


def test_a_head_on_random_weights_is_refused_with_the_way_out(probed, tmp_path, monkeypatch):
    monkeypatch.setattr(stages.features, "INIT", tmp_path)
    before = sorted(path.name for path in Path("data/features").iterdir())
    with pytest.raises(UserError, match=r"frozen_layers all .* train\.init_from is null.*; set train\.init_from, or"):
        stages.features.main()
    assert (
        sorted(path.name for path in Path("data/features").iterdir())
        == before
        == ["README.txt", "train.npy", "val.npy"]
    )
