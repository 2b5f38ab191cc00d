import math
import warnings

import numpy as np
import pytest

from vit.data.manifest import Row
from vit.evaluation.metrics import confusion, confusion_rows, headline, per_class, prediction_rows

CLASSES = ["cat", "dog", "été"]
# Truth and answer of eight images; as truth-answer: cat-cat 2, cat-dog 1, dog-dog 3, été-cat 1, été-dog 1.
LABELS = np.array([0, 0, 0, 1, 1, 1, 2, 2])
PREDICTIONS = np.array([0, 0, 1, 1, 1, 1, 0, 1])


def sure(predictions: np.ndarray, confidence: float = 0.8) -> np.ndarray:
    """Probabilities (N, 3) that put `confidence` on each prediction and share the rest."""
    probabilities = np.full((len(predictions), 3), (1 - confidence) / 2, dtype=np.float32)
    probabilities[np.arange(len(predictions)), predictions] = confidence
    return probabilities


def test_accuracy_and_loss_are_those_computed_by_hand():
    scores = headline(LABELS, sure(PREDICTIONS), 0.95)
    assert scores["test_accuracy"] == 5 / 8
    # Five times -ln(0.8), three times -ln(0.1).
    assert scores["test_loss"] == pytest.approx((5 * -math.log(0.8) + 3 * -math.log(0.1)) / 8, rel=1e-6)


@pytest.mark.parametrize(
    ("correct", "count", "level", "low", "high"),
    [
        # Wilson 1927, z = 1.959964: centre (p + z^2/2n) / (1 + z^2/n), half width
        # z / (1 + z^2/n) * sqrt(p(1-p)/n + z^2/4n^2); 8 of 10: 0.992073 / 1.384146 -+ 0.313614 / 1.384146.
        (8, 10, 0.95, 0.490162, 0.943318),
        (0, 10, 0.95, 0.0, 0.277533),  # z^2/n / (1 + z^2/n) = 0.384146 / 1.384146
        (10, 10, 0.95, 0.722467, 1.0),
        (50, 100, 0.90, 0.418848, 0.581152),  # z = 1.644854: 0.5 -+ 0.5 * sqrt(0.0270554 / 1.0270554)
    ],
)
def test_the_interval_is_wilsons(correct, count, level, low, high):
    labels = np.zeros(count, dtype=np.int64)
    predictions = np.array([0] * correct + [1] * (count - correct))
    scores = headline(labels, sure(predictions), level)
    assert scores["test_accuracy"] == correct / count
    assert scores["test_accuracy_low"] == pytest.approx(low, abs=2e-6)
    assert scores["test_accuracy_high"] == pytest.approx(high, abs=2e-6)


def test_a_higher_level_gives_a_wider_interval():
    narrow, wide = (headline(LABELS, sure(PREDICTIONS), level) for level in (0.5, 0.99))
    assert wide["test_accuracy_low"] < narrow["test_accuracy_low"] < 5 / 8
    assert 5 / 8 < narrow["test_accuracy_high"] < wide["test_accuracy_high"]


def test_a_wrong_certainty_has_a_finite_loss():
    scores = headline(np.array([1]), np.array([[1.0, 0.0, 0.0]], dtype=np.float32), 0.95)
    assert scores["test_loss"] == pytest.approx(-math.log(1e-12))


def test_figures_of_each_class_are_those_counted_by_hand():
    rows = per_class(LABELS, PREDICTIONS, CLASSES)
    # cat: 2 of 3 answers right, 2 of 3 found. dog: 3 of 5 right, 3 of 3 found; F1 = 2 * 0.6 * 1 / 1.6.
    assert rows[0] == pytest.approx({"class": "cat", "precision": 2 / 3, "recall": 2 / 3, "f1": 2 / 3, "images": 3})
    assert rows[1] == pytest.approx({"class": "dog", "precision": 0.6, "recall": 1.0, "f1": 0.75, "images": 3})
    assert [row["class"] for row in rows] == CLASSES


def test_a_class_that_is_never_answered_scores_0_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rows = per_class(LABELS, PREDICTIONS, CLASSES)
    assert rows[2] == {"class": "été", "precision": 0.0, "recall": 0.0, "f1": 0.0, "images": 2}


def test_a_class_without_images_scores_0_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rows = per_class(np.array([0, 1]), np.array([0, 1]), CLASSES)
    assert rows[2] == {"class": "été", "precision": 0.0, "recall": 0.0, "f1": 0.0, "images": 0}


def test_confusion_has_a_row_per_truth_and_a_column_per_answer():
    assert confusion(LABELS, PREDICTIONS, CLASSES).tolist() == [[2, 1, 0], [0, 3, 0], [1, 1, 0]]


def test_confusion_rows_carry_the_names_on_both_sides():
    assert confusion_rows(confusion(LABELS, PREDICTIONS, CLASSES), CLASSES) == [
        {"": "cat", "cat": 2, "dog": 1, "été": 0},
        {"": "dog", "cat": 0, "dog": 3, "été": 0},
        {"": "été", "cat": 1, "dog": 1, "été": 0},
    ]


def test_a_class_called_true_does_not_displace_the_names_of_the_rows():
    rows = confusion_rows(np.array([[7, 1], [2, 5]]), ["false", "true"])
    assert [len(row) for row in rows] == [3, 3]
    assert [list(row.values()) for row in rows] == [["false", 7, 1], ["true", 2, 5]]


def test_a_row_of_predictions_tells_path_truth_group_answer_and_every_probability():
    probabilities = np.array([[0.25, 0.5, 0.25], [0.75, 0.125, 0.125]], dtype=np.float32)
    images = [Row("dog/1, old.png", "dog", "night"), Row("été/2.png", "été", "été/2.png")]
    rows = prediction_rows(images, probabilities, CLASSES)
    assert rows == [
        {
            "path": "dog/1, old.png",
            "label": "dog",
            "group": "night",
            "prediction": "dog",
            "confidence": 0.5,
            "p_cat": 0.25,
            "p_dog": 0.5,
            "p_été": 0.25,
        },
        {
            "path": "été/2.png",
            "label": "été",
            "group": "été/2.png",
            "prediction": "cat",
            "confidence": 0.75,
            "p_cat": 0.75,
            "p_dog": 0.125,
            "p_été": 0.125,
        },
    ]


def test_predictions_must_be_as_many_as_paths():
    with pytest.raises(ValueError, match="zip"):
        prediction_rows([Row("cat/a.png", "cat", "")], sure(np.array([0, 1])), CLASSES)


def test_the_answer_of_a_row_is_the_one_that_the_accuracy_counts():
    generator = np.random.default_rng(0)
    probabilities = generator.dirichlet(np.ones(3), 50).astype(np.float32)
    labels = generator.integers(0, 3, 50)
    rows = prediction_rows([Row("", CLASSES[label], "") for label in labels], probabilities, CLASSES)
    right = sum(row["label"] == row["prediction"] for row in rows)
    assert right / 50 == headline(labels, probabilities, 0.95)["test_accuracy"]
