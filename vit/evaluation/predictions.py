"""A model's predictions for the images of a split, unchanged and changed."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from vit.data.decoded import Part
from vit.data.manifest import Row
from vit.inference.classifier import Classifier

Change = Callable[[np.ndarray], np.ndarray]  # of images uint8 (N, H, W, C)


@dataclass(frozen=True)
class Predictions:
    """The images of a split in order, their true classes (N,) and the model's probabilities (N, K)."""

    rows: list[Row]
    labels: np.ndarray
    probabilities: np.ndarray
    uncalibrated: np.ndarray  # the probabilities at temperature 1
    classes: list[str]

    @property
    def predicted_labels(self) -> np.ndarray:
        return self.probabilities.argmax(axis=1)

    @property
    def correct(self) -> np.ndarray:
        return self.predicted_labels == self.labels

    @property
    def confidences(self) -> np.ndarray:
        return self.probabilities.max(axis=1)

    @property
    def groups(self) -> np.ndarray:
        return np.array([row.group for row in self.rows])


def predict(
    classifier: Classifier, part: Part, rows: list[Row], batch_size: int, changes: dict[str, Change] | None = None
) -> tuple[Predictions, dict[str, np.ndarray]]:
    """Predictions for the images of `part`, listed in `rows`, and the predicted labels (N,) after each change."""
    changes = changes or {}
    logits, changed = [], {name: [] for name in changes}
    for images, _ in part.in_order(batch_size):
        logits.append(classifier.logits(images))
        for name, labels in changed.items():
            pixels = torch.from_numpy(np.ascontiguousarray(changes[name](images.numpy())))
            labels.append(classifier.logits(pixels).argmax(dim=1).numpy())
    all_logits = torch.cat(logits)
    predictions = Predictions(
        rows=rows,
        labels=part.labels.numpy(),
        probabilities=classifier.calibrated(all_logits),
        uncalibrated=all_logits.softmax(dim=1).numpy(),
        classes=classifier.classes,
    )
    return predictions, {name: np.concatenate(labels) for name, labels in changed.items()}
