import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score, log_loss

from vit.inference.scores import score, standard_error

# 6 images of class 0, of which 5 are right, and 2 of class 1, of which 1 is right; class 2 neither occurs nor is
# predicted. Class 0 is predicted 6 times, class 1 twice.
LABELS = np.array([0, 0, 0, 0, 0, 0, 1, 1])
PREDICTIONS = np.array([0, 0, 0, 0, 0, 1, 1, 0])
LOSSES = np.array([0.1, 0.1, 0.1, 0.1, 0.1, 1.0, 0.5, 2.0])


def agresti_coull(right: float, images: float) -> float:
    share = (right + 2) / (images + 4)
    return (share * (1 - share) / (images + 4)) ** 0.5


@pytest.mark.parametrize(
    ("metric", "value", "error"),
    [
        ("accuracy", 6 / 8, agresti_coull(6, 8)),
        ("balanced_accuracy", (5 / 6 + 1 / 2) / 2, (agresti_coull(5, 6) ** 2 + agresti_coull(1, 2) ** 2) ** 0.5 / 2),
        # F1 is 5 of (6 + 6) / 2 and 1 of (2 + 2) / 2: here the same shares of the same numbers.
        ("macro_f1", (5 / 6 + 1 / 2) / 2, (agresti_coull(5, 6) ** 2 + agresti_coull(1, 2) ** 2) ** 0.5 / 2),
        ("log_loss", 0.5, LOSSES.std(ddof=1) / 8**0.5),
    ],
)
def test_scores_and_their_standard_errors_are_those_computed_by_hand(metric, value, error):
    assert score(metric, LABELS, PREDICTIONS, LOSSES, classes=3) == pytest.approx((value, error))


def drawn(images: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels of 5 unequal classes, predictions of which 7 in 10 are right, and their cross-entropies."""
    generator = np.random.default_rng(seed)
    labels = generator.choice(5, size=images, p=[0.4, 0.3, 0.15, 0.1, 0.05])
    predictions = np.where(generator.random(images) < 0.7, labels, generator.integers(5, size=images))
    return labels, predictions, -np.log(np.where(predictions == labels, 0.8, 0.05))


def test_scores_are_those_of_scikit_learn():
    labels, predictions, losses = drawn(300, seed=0)
    shares = np.full((300, 5), 0.05)
    shares[np.arange(300), predictions] = 0.8
    found = {metric: score(metric, labels, predictions, losses, 5)[0] for metric in ("macro_f1", "log_loss")}
    assert found["macro_f1"] == pytest.approx(f1_score(labels, predictions, average="macro"))
    assert found["log_loss"] == pytest.approx(log_loss(labels, shares))
    balanced = score("balanced_accuracy", labels, predictions, losses, 5)[0]
    assert balanced == pytest.approx(balanced_accuracy_score(labels, predictions))


@pytest.mark.parametrize("metric", ["accuracy", "balanced_accuracy", "macro_f1", "log_loss"])
def test_a_standard_error_is_how_far_the_score_scatters_among_other_images_of_the_same_kind(metric):
    values, errors = np.array([score(metric, *drawn(1000, seed), 5) for seed in range(400)]).T
    assert errors.mean() == pytest.approx(values.std(), rel=0.15)


def test_the_standard_error_is_that_of_a_share_and_not_zero_at_100_percent():
    assert standard_error(0.5, 10**6) == pytest.approx(0.0005, rel=1e-3)
    assert 1 / 179 < standard_error(1.0, 179) < 2 / 179
    for metric in ("accuracy", "balanced_accuracy", "macro_f1"):
        assert score(metric, LABELS, LABELS, LOSSES, 3)[1] > 0


def test_a_single_image_has_a_score():
    one = np.array([0])
    assert score("log_loss", one, one, np.array([0.5]), 2) == (0.5, 0.0)
    assert score("macro_f1", one, one, np.array([0.5]), 2)[0] == 1.0
