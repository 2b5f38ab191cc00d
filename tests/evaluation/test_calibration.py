import numpy as np
import pytest

from vit.evaluation.calibration import bin_numbers, expected_calibration_error, reliability_rows


def test_bins_are_closed_above_and_confidence_0_lies_in_the_first():
    assert bin_numbers(np.array([0.0, 0.05, 0.1, 0.1001, 0.95, 1.0]), 10).tolist() == [0, 0, 0, 1, 9, 9]


def test_a_row_per_bin_tells_how_confident_and_how_right_its_predictions_are():
    probabilities = np.array([[0.6, 0.4], [0.7, 0.3], [0.2, 0.8], [0.05, 0.95]])
    rows = reliability_rows(np.array([0, 1, 1, 1]), probabilities, 4)
    assert rows[:2] == [
        {"low": 0.0, "high": 0.25, "images": 0, "confidence": None, "accuracy": None},
        {"low": 0.25, "high": 0.5, "images": 0, "confidence": None, "accuracy": None},
    ]
    assert rows[2] == pytest.approx({"low": 0.5, "high": 0.75, "images": 2, "confidence": 0.65, "accuracy": 0.5})
    assert rows[3] == pytest.approx({"low": 0.75, "high": 1.0, "images": 2, "confidence": 0.875, "accuracy": 1.0})


def test_the_calibration_error_of_four_predictions_is_that_by_hand():
    # Bins of 0.1: 0.55 right and 0.6 wrong in one, 0.95 and 1.0 right in another.
    confidences, correct = np.array([0.55, 0.6, 0.95, 1.0]), np.array([True, False, True, True])
    by_hand = (abs(1.15 - 1) + abs(1.95 - 2)) / 4
    assert expected_calibration_error(confidences, correct, 10) == pytest.approx(by_hand)
    assert expected_calibration_error(confidences, correct, 1) == pytest.approx(abs(3.1 - 3) / 4)


def test_the_calibration_error_is_the_mean_distance_in_the_reliability_table():
    generator = np.random.default_rng(0)
    probabilities, labels = generator.dirichlet(np.ones(4), 300), generator.integers(0, 4, 300)
    filled = [row for row in reliability_rows(labels, probabilities, 15) if row["images"]]
    expected = sum(row["images"] * abs(row["confidence"] - row["accuracy"]) for row in filled) / 300
    correct = probabilities.argmax(axis=1) == labels
    assert expected_calibration_error(probabilities.max(axis=1), correct, 15) == pytest.approx(expected)
