import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar

from tests.presets import preset
from tests.shapes import shapes, untrained
from vit.training.temperature import TEMPERATURES, fit_temperature, temperature_on


def drawn(temperature: float, count: int = 20_000, classes: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and labels drawn with the probabilities softmax(logits / temperature)."""
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(count, classes)) * 3
    gumbel = -np.log(-np.log(generator.random((count, classes))))
    return logits.astype(np.float32), (logits / temperature + gumbel).argmax(axis=1)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_that_made_the_labels_is_found(temperature):
    assert fit_temperature(*drawn(temperature)) == pytest.approx(temperature, rel=0.03)


def test_the_temperature_is_that_of_another_minimizer():
    logits, labels = drawn(1.7, count=300)
    scores, truth = torch.from_numpy(logits).double(), torch.from_numpy(labels)
    loss = lambda temperature: torch.nn.functional.cross_entropy(scores / temperature, truth).item()  # noqa: E731
    expected = minimize_scalar(loss, bounds=TEMPERATURES, method="bounded", options={"xatol": 1e-7}).x
    assert fit_temperature(logits, labels) == pytest.approx(expected, abs=2e-5)


def test_logits_scaled_by_ten_have_ten_times_the_temperature():
    logits, labels = drawn(0.4, count=500)
    assert fit_temperature(10 * logits, labels) == pytest.approx(10 * fit_temperature(logits, labels), rel=1e-4)


def test_a_val_part_that_is_all_right_and_one_that_is_hopeless_stay_within_the_range():
    logits = np.eye(4, dtype=np.float32)[np.arange(40) % 4] * 8
    assert fit_temperature(logits, np.arange(40) % 4) == TEMPERATURES[0]
    assert fit_temperature(logits, (np.arange(40) + 1) % 4) == TEMPERATURES[1]


def test_huge_logits_do_not_overflow():
    logits = np.array([[3e4, -3e4], [3e4, -3e4], [-3e4, 3e4]], dtype=np.float32)
    with np.errstate(over="raise", invalid="raise"):
        assert fit_temperature(logits, np.array([0, 1, 1])) == TEMPERATURES[1]


def test_a_part_has_the_temperature_of_its_logits_in_batches_of_any_size(tmp_path):
    part = shapes(tmp_path, 5)
    classifier = untrained(preset(tmp_path, "shapes", {"train.device": "cpu"}), part)
    expected = fit_temperature(classifier.logits(part.images).numpy(), part.labels.numpy())
    assert temperature_on(part, classifier, 7) == pytest.approx(expected, abs=2e-5)
