"""Whether predictions with 80 % confidence are correct 80 % of the time. NumPy only: the gate runs without torch."""

import numpy as np


def bin_numbers(confidences: np.ndarray, bins: int) -> np.ndarray:
    """The bin of each confidence, from 0: `bins` equally wide ones in (0, 1], including their upper end."""
    return np.ceil(confidences.astype(np.float64) * bins).astype(np.int64).clip(1, bins) - 1


def calibration_gaps(confidences: np.ndarray, correct: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray]:
    """The bin of each prediction, int64 (N,), and its confidence, minus 1 if it is correct (N,)."""
    confidences = confidences.astype(np.float64)
    return bin_numbers(confidences, bins), confidences - correct


def mean_gap(gaps: np.ndarray, images: np.ndarray | int) -> np.ndarray:
    """The expected calibration error (...) from gaps summed by bin (..., bins) and the number of images (...).

    It is the distance between confidence and accuracy per bin, averaged with the bins' image counts.
    """
    return np.abs(gaps).sum(axis=-1) / images


def expected_calibration_error(confidences: np.ndarray, correct: np.ndarray, bins: int) -> float:
    """The error in [0, 1] of predictions with confidences (N,), where `correct` (N,) marks the correct ones."""
    numbers, gaps = calibration_gaps(confidences, correct, bins)
    return float(mean_gap(np.bincount(numbers, weights=gaps, minlength=bins), len(gaps)))


def reliability_rows(labels: np.ndarray, probabilities: np.ndarray, bins: int) -> list[dict]:
    """One row per confidence bin: its ends, its number of predictions, their mean confidence and accuracy.

    The latter two are None in an empty bin.
    """
    confidences = probabilities.max(axis=1).astype(np.float64)
    numbers = bin_numbers(confidences, bins)
    images = np.bincount(numbers, minlength=bins)
    confident = np.bincount(numbers, weights=confidences, minlength=bins)
    right = np.bincount(numbers, weights=probabilities.argmax(axis=1) == labels, minlength=bins)
    return [
        {
            "low": number / bins,
            "high": (number + 1) / bins,
            "images": int(count),
            "confidence": confident[number] / count if count else None,
            "accuracy": right[number] / count if count else None,
        }
        for number, count in enumerate(images)
    ]
