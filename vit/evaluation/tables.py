"""Tables of a split's predictions: per class, per pair of classes, and per image."""

import numpy as np
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from vit.evaluation.predictions import Predictions


def per_class(predictions: Predictions) -> list[dict]:
    """Precision, recall, F1 in [0, 1] and the number of images of each class."""
    wanted = range(len(predictions.classes))
    columns = precision_recall_fscore_support(
        predictions.labels, predictions.predicted_labels, labels=wanted, zero_division=0
    )
    names = ("precision", "recall", "f1", "images")
    return [
        {"class": name, **dict(zip(names, map(float, row[:3]), strict=False)), "images": int(row[3])}
        for name, row in zip(predictions.classes, np.array(columns).T, strict=True)
    ]


def confusion(predictions: Predictions) -> np.ndarray:
    """Counts (K, K): one row per true class, one column per predicted class."""
    return confusion_matrix(predictions.labels, predictions.predicted_labels, labels=range(len(predictions.classes)))


def rates(counts: np.ndarray) -> np.ndarray:
    """The counts (K, K) as shares of their true class; a class without images has a row of zeros."""
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


def confusion_rows(matrix: np.ndarray, classes: list[str]) -> list[dict]:
    """A matrix (K, K) as a table: one row per true class, whose name is in an unnamed first column."""
    rows = zip(classes, matrix.tolist(), strict=True)
    return [{"": name} | dict(zip(classes, row, strict=True)) for name, row in rows]


def prediction_rows(predictions: Predictions) -> list[dict]:
    """One row per image of a split: path, label, group, prediction, confidence, and the probability of every class."""
    lines = []
    for row, shares in zip(predictions.rows, predictions.probabilities.tolist(), strict=True):
        best = int(np.argmax(shares))
        predicted = {"prediction": predictions.classes[best], "confidence": shares[best]}
        named = zip(predictions.classes, shares, strict=True)
        lines.append(row._asdict() | predicted | {f"p_{name}": value for name, value in named})
    return lines
