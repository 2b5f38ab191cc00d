"""Predictions for images that do not exist, for metrics that need none, and the settings of an evaluation."""

import numpy as np

from vit.config.schema import EvaluateParams
from vit.data.manifest import Row
from vit.evaluation.predictions import Predictions

CLASSES = ["cat", "dog", "été"]


def sure(predictions: np.ndarray, confidence: float = 0.8, classes: int = 3) -> np.ndarray:
    """Probabilities (N, classes) that put `confidence` on each prediction and share the rest."""
    probabilities = np.full((len(predictions), classes), (1 - confidence) / (classes - 1), dtype=np.float32)
    probabilities[np.arange(len(predictions)), predictions] = confidence
    return probabilities


def predicted(
    labels, probabilities: np.ndarray, groups=None, classes: list[str] = CLASSES, uncalibrated=None
) -> Predictions:
    """Images `0.png`, `1.png` ..., each its own group if none are given."""
    labels = np.asarray(labels)
    names = [f"{index}.png" for index in range(len(labels))]
    rows = [
        Row(name, classes[label], str(group))
        for name, label, group in zip(names, labels, names if groups is None else groups, strict=True)
    ]
    return Predictions(rows, labels, probabilities, probabilities if uncalibrated is None else uncalibrated, classes)


def settings(**changes) -> EvaluateParams:
    values = {
        "batch_size": 64,
        "device": "cpu",
        "confidence_level": 0.95,
        "seed": 0,
        "top_k": 2,
        "ece_bins": 10,
        "slices": ["label"],
        "questions": None,
        "invariance": [],
        "explain_images": 0,
        "svc_baseline": False,
    }
    return EvaluateParams(**values | changes)


# True and predicted class of eight images; as true-predicted: cat-cat 2, cat-dog 1, dog-dog 3, été-cat 1, été-dog 1.
LABELS = np.array([0, 0, 0, 1, 1, 1, 2, 2])
PREDICTIONS = np.array([0, 0, 1, 1, 1, 1, 0, 1])
EIGHT = predicted(LABELS, sure(PREDICTIONS))
