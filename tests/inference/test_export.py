"""An exported model gives the probabilities of the model, or an error says by how much it does not."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.presets import preset
from tests.shapes import shapes, untrained
from vit.errors import UserError
from vit.inference.classifier import Classifier
from vit.inference.export import ONNX_PACKAGES, TOLERANCE, check_parity, to_onnx, to_torch

WITHOUT_ONNX = [name for name in ONNX_PACKAGES if find_spec(name) is None]
needs_onnx = pytest.mark.skipif(
    bool(WITHOUT_ONNX), reason=f"{', '.join(WITHOUT_ONNX)} not installed: see requirements-export.txt"
)


def classifier_of(folder: Path, **changes) -> Classifier:
    values = {"train.device": "cpu"} | {f"model.{key}": value for key, value in changes.items()}
    return untrained(preset(folder, "shapes", values), shapes(folder, 2))


@pytest.fixture(scope="module")
def classifier(tmp_path_factory) -> Classifier:
    return classifier_of(tmp_path_factory.mktemp("model"), drop_rate=0.3, drop_path_rate=0.2)


def pictures(count: int) -> torch.Tensor:
    random = np.random.default_rng(count)
    return torch.from_numpy(random.integers(0, 256, (count, 8, 8, 1), dtype=np.uint8))


@needs_onnx
@pytest.mark.slow
@pytest.mark.parametrize("attention", ["math", "fused"])
def test_every_variant_of_the_model_can_be_written_as_onnx(tmp_path, attention):
    classifier = classifier_of(tmp_path, pool="avg", pos_embed="sincos2d", norm="rmsnorm", qkv_bias=False)
    for block in classifier.model.blocks:
        block.attn.fused_attn = attention == "fused"
    assert check_parity(classifier, to_onnx(classifier)[1]) <= TOLERANCE


def test_a_model_with_average_pooling_and_rmsnorm_is_exported_too_and_not_taken_for_another(tmp_path):
    classifier = classifier_of(tmp_path, pool="avg", pos_embed="sincos2d", norm="rmsnorm", qkv_bias=False)
    _, run = to_torch(classifier)
    assert check_parity(classifier, run) <= TOLERANCE
    for change in ({"mean": [0.3]}, {"std": [0.9]}):
        with pytest.raises(UserError, match="nothing was written"):
            check_parity(Classifier(classifier.model, classifier.config | change, classifier.device), run)


@pytest.mark.parametrize("wrong", [1.1 * TOLERANCE, -0.5, float("nan")])
def test_one_answer_beyond_the_tolerance_is_an_error_and_one_within_is_not(classifier, wrong):
    def off_by(amount: float):
        def run(images: np.ndarray) -> np.ndarray:
            answers = classifier.probabilities(torch.from_numpy(images)).copy()
            answers[-1, 2] += amount
            return answers

        return run

    with pytest.raises(UserError, match=r"nothing was written: .* at most 1e-05 is allowed"):
        check_parity(classifier, off_by(wrong))
    assert check_parity(classifier, off_by(0.5 * TOLERANCE)) == pytest.approx(0.5 * TOLERANCE, rel=0.01)
