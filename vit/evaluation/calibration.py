"""Whether predictions of 80 % confidence are right 80 % of the time. Numpy alone: the gate needs it without torch."""

import numpy as np


def bin_numbers(confidences: np.ndarray, bins: int) -> np.ndarray:
    """Which of `bins` equally wide bins of (0, 1], closed above, each confidence lies in, from 0."""
    return np.ceil(confidences.astype(np.float64) * bins).astype(np.int64).clip(1, bins) - 1


def calibration_gaps(confidences: np.ndarray, correct: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray]:
    """The bin of each prediction, int64 (N,), and its confidence minus 1 if it is right, else its confidence (N,)."""
    confidences = confidences.astype(np.float64)
    return bin_numbers(confidences, bins), confidences - correct


def mean_gap(gaps: np.ndarray, images: np.ndarray | int) -> np.ndarray:
    """The expected calibration error (...) of gaps that are summed by bin (..., bins), and the number of images (...).

    That is the distance of confidence and accuracy, averaged over the bins by their images.
    """
    return np.abs(gaps).sum(axis=-1) / images


def expected_calibration_error(confidences: np.ndarray, correct: np.ndarray, bins: int) -> float:
    """The error in [0, 1] of predictions with confidences (N,), of which `correct` (N,) are right."""
    numbers, gaps = calibration_gaps(confidences, correct, bins)
    return float(mean_gap(np.bincount(numbers, weights=gaps, minlength=bins), len(gaps)))


def reliability_rows(labels: np.ndarray, probabilities: np.ndarray, bins: int) -> list[dict]:
    """A line per bin of confidence: its ends, how many predictions lie in it, their mean confidence and accuracy.

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
