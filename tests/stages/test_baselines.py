"""A small CNN and torchvision's ResNet-18 through the real stages, then exported and served."""

import base64
from collections.abc import Iterator
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch

import stages.download
import stages.evaluate
import stages.pack
import stages.split
import stages.train
import stages.weights
from tests.conftest import clone
from tests.presets import write_preset
from vit.errors import UserError
from vit.evaluation.explain import require_attention
from vit.files import read_json, read_table
from vit.inference.classifier import Classifier
from vit.inference.complexity import cost_of
from vit.inference.export import TOLERANCE, check_parity, to_torch
from vit.inference.summary import model_summary
from vit.registry import gathered
from vit.registry.served import save_served
from vit.serving.refusal import Refusal

pytestmark = pytest.mark.long

CHANGES = {"data.shapes_per_class": 30, "split.strategy": "random", "evaluate.explain_images": 1}
CHANGES |= {"train.epochs": 8, "train.warmup_epochs": 1, "train.threads": 1, "train.device": "cpu"}
CHANGES |= {"evaluate.device": "cpu"}
SETTINGS = {"max_rows": 100, "max_bytes": 10**6, "max_pixels": 10**6, "batch_wait_ms": 5.0, "precision": "float32"}


@pytest.fixture(scope="module")
def packed(tmp_path_factory) -> Iterator[Path]:
    """A clone whose images are packed, as the working directory."""
    folder = clone(tmp_path_factory.mktemp("baselines") / "project").folder
    threads, is_strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("DVC_ROOT", str(folder))
        patch.setenv("MLFLOW_TRACKING_URI", "")  # unset; MLflow exports it, which must not outlive the tests
        write_preset(folder / "params.yaml", "shapes", CHANGES)
        for stage in (stages.download, stages.split, stages.pack, stages.weights):
            stage.main()
        yield folder
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(is_strict)


@pytest.fixture(scope="module", params=["cnn", "torchvision/resnet18"])
def name(request, packed) -> str:
    """`model.name` of the model that was just trained and judged in `packed`."""
    write_preset(packed / "params.yaml", "shapes", CHANGES | {"model.name": request.param})
    stages.train.main()
    stages.evaluate.main()
    return request.param


def predictions() -> tuple[list[Path], np.ndarray]:
    rows = read_table(Path("evaluation/predictions.csv"))
    found = [[float(value) for key, value in row.items() if key.startswith("p_")] for row in rows]
    return [Path("data/raw", row["path"]) for row in rows], np.array(found)


def test_it_is_trained_and_judged_as_the_vision_transformer_is(packed, name):
    history = read_table(Path("training/history.csv"))
    assert [row["epoch"] for row in history] == [str(epoch) for epoch in range(1, 9)]
    assert float(history[-1]["train_loss"]) < float(history[0]["train_loss"])
    assert read_json(Path("model/config.json"))["model"]["name"] == name
    files, probabilities = predictions()
    answers = Classifier.load(Path("model")).classify(files)
    expected = [list(answer["probabilities"].values()) for answer in answers]
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)
    assert read_json(Path("metrics/test.json"))["test_accuracy"] > 0.4  # a quarter by guessing


def test_it_is_without_figures_of_attention_and_register_misses_none(packed, name):
    assert not Path("evaluation/explain").exists() and not list(gathered.EXPLAIN.glob("*"))
    assert all(file.exists() for folder in ("training", "evaluation") for file in gathered.RUN_FILES[folder])
    with pytest.raises(UserError, match=f"model.name is {name}, which has no attention"):
        require_attention(Classifier.load(Path("model")))


def test_its_export_answers_as_it_does(packed, name):
    classifier = Classifier.load(Path("model"))
    _, run = to_torch(classifier)
    assert check_parity(classifier, run) <= TOLERANCE


def test_it_is_served_with_the_packages_that_it_needs_and_answers_as_evaluated(packed, name, tmp_path):
    save_served(tmp_path / "served", Path("model"), SETTINGS)
    needed = (tmp_path / "served/requirements.txt").read_text()
    assert ("torchvision==" in needed) is (name != "cnn")
    served = mlflow.pyfunc.load_model(str(tmp_path / "served"))
    files, expected = predictions()
    rows = pd.DataFrame({"image": [base64.b64encode(file.read_bytes()).decode() for file in files[:8]]})
    classes = read_json(Path("model/config.json"))["classes"]
    found = [[answer["probabilities"][one] for one in classes] for answer in served.predict(rows)]
    np.testing.assert_allclose(found, expected[:8], atol=1e-5)
    with pytest.raises(Refusal, match="no attention maps to explain a prediction; send the request without explain"):
        served.predict(rows, params={"explain": True})


def test_it_answers_in_bfloat16_within_what_serving_promises(packed, name):
    files, expected = predictions()
    answers = Classifier.load(Path("model")).to("bfloat16").classify(files)
    found = np.array([list(answer["probabilities"].values()) for answer in answers])
    assert 0 < np.abs(found - expected).max() < 0.02


def test_its_cost_is_counted(packed, name):
    config = read_json(Path("model/config.json"))
    cost = cost_of(config)
    assert cost.parameters == Classifier.load(Path("model")).parameter_count
    assert Path("evaluation/model_summary.txt").read_text(encoding="utf-8") == model_summary(config)
    if name == "cnn":
        # 8x8 places for the first convolution, then 4x4, 2x2 and one; the head.
        by_hand = 9 * (64 * 1 * 32 + 16 * 32 * 64 + 4 * 64 * 128 + 1 * 128 * 256) + 256 * 4
        assert cost.multiply_adds == by_hand
