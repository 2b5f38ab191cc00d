"""What a model says to the images of a part of the split, as they are and changed."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from vit.data.decoded import Part
from vit.data.manifest import Row
from vit.inference.classifier import Classifier

Change = Callable[[np.ndarray], np.ndarray]  # of images uint8 (N, H, W, C)


@dataclass(frozen=True)
class Answers:
    """Images of a part in the order of the split, their true classes (N,) and the model's probabilities (N, K)."""

    rows: list[Row]
    labels: np.ndarray
    probabilities: np.ndarray
    uncalibrated: np.ndarray  # the probabilities at temperature 1
    classes: list[str]

    @property
    def predictions(self) -> np.ndarray:
        return self.probabilities.argmax(axis=1)

    @property
    def correct(self) -> np.ndarray:
        return self.predictions == self.labels

    @property
    def confidences(self) -> np.ndarray:
        return self.probabilities.max(axis=1)

    @property
    def groups(self) -> np.ndarray:
        return np.array([row.group for row in self.rows])


def ask(
    classifier: Classifier, part: Part, rows: list[Row], batch_size: int, changes: dict[str, Change] | None = None
) -> tuple[Answers, dict[str, np.ndarray]]:
    """The answers to the images of `part`, which `rows` lists, and the predictions (N,) after each change of them."""
    logits, changed = [], {name: [] for name in changes or {}}
    for images, _ in part.in_order(batch_size):
        logits.append(classifier.logits(images))
        for name, predictions in changed.items():
            pixels = torch.from_numpy(np.ascontiguousarray(changes[name](images.numpy())))
            predictions.append(classifier.logits(pixels).argmax(dim=1).numpy())
    said = torch.cat(logits)
    answers = Answers(
        rows=rows,
        labels=part.labels.numpy(),
        probabilities=classifier.calibrated(said),
        uncalibrated=said.softmax(dim=1).numpy(),
        classes=classifier.classes,
    )
    return answers, {name: np.concatenate(predictions) for name, predictions in changed.items()}
