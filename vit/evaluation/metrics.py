"""What a list of predictions is worth: accuracy with its interval, per-class figures, and the trivial baselines."""

import numpy as np
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from vit.data.manifest import Row


def headline(labels: np.ndarray, probabilities: np.ndarray, confidence_level: float) -> dict[str, float]:
    """Accuracy with its Wilson interval, and cross-entropy, of probabilities (N, K) against labels (N,)."""
    predictions = probabilities.argmax(axis=1)
    correct = int((predictions == labels).sum())
    interval = binomtest(correct, len(labels)).proportion_ci(confidence_level, method="wilson")
    of_truth = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return {
        "test_accuracy": correct / len(labels),
        "test_accuracy_low": float(interval.low),
        "test_accuracy_high": float(interval.high),
        "test_loss": float(-np.log(of_truth.clip(1e-12)).mean()),
    }


def per_class(labels: np.ndarray, predictions: np.ndarray, classes: list[str]) -> list[dict]:
    """Precision, recall, F1 in [0, 1] and the number of images of each class."""
    columns = precision_recall_fscore_support(labels, predictions, labels=range(len(classes)), zero_division=0)
    names = ("precision", "recall", "f1", "images")
    return [
        {"class": name, **dict(zip(names, map(float, row[:3]), strict=False)), "images": int(row[3])}
        for name, row in zip(classes, np.stack(columns, axis=1), strict=True)
    ]


def confusion(labels: np.ndarray, predictions: np.ndarray, classes: list[str]) -> np.ndarray:
    """Counts (K, K): a row per true class, a column per predicted one."""
    return confusion_matrix(labels, predictions, labels=range(len(classes)))


def confusion_rows(counts: np.ndarray, classes: list[str]) -> list[dict]:
    """The counts as a table: a row per true class, its name in a column without one; a column per predicted class."""
    rows = zip(classes, counts.tolist(), strict=True)
    return [{"": name} | dict(zip(classes, row, strict=True)) for name, row in rows]


def prediction_rows(rows: list[Row], probabilities: np.ndarray, classes: list[str]) -> list[dict]:
    """A line per image of a split: path, label, group, prediction, confidence, and the probability of every class."""
    lines = []
    for row, shares in zip(rows, probabilities.tolist(), strict=True):
        best = int(np.argmax(shares))
        answer = {"prediction": classes[best], "confidence": shares[best]}
        lines.append(row._asdict() | answer | {f"p_{name}": value for name, value in zip(classes, shares, strict=True)})
    return lines
