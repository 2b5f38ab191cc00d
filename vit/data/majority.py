"""The trivial baseline: always predict the most frequent class of train."""

import numpy as np


def majority_accuracy(train_labels: np.ndarray, test_labels: np.ndarray) -> float:
    """Accuracy in [0, 1] on the test labels, names or numbers (N,); of equally frequent classes, the first counts."""
    names, counts = np.unique(train_labels, return_counts=True)
    return float((test_labels == names[counts.argmax()]).mean())
