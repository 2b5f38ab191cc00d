"""A sample of val that is published with a model, so that `vit monitor` can compare what it is sent later with it."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import safetensors.numpy

from vit.data.decoded import Part, pick
from vit.data.images import centre_crop, opened
from vit.data.manifest import Row
from vit.evaluation.bootstrap import group_numbers
from vit.files import replacing
from vit.inference.classifier import Classifier
from vit.inference.head_input import HeadInput
from vit.inference.image_statistics import brightness, sharpness

MOST = 1000  # images; 3 MB with 768 features
AT_ONCE = 64  # images
SEED = 0


def write_val_sample(path: Path, classifier: Classifier, val: Part, rows: Sequence[Row], raw: Path) -> None:
    """Write `val_sample` as safetensors, the class names in its metadata; nothing if val is empty."""
    if rows:
        sample = val_sample(classifier, val, rows, raw)
        with replacing(path) as temporary:
            safetensors.numpy.save_file(sample, temporary, {"classes": json.dumps(classifier.classes)})


def val_sample(classifier: Classifier, val: Part, rows: Sequence[Row], raw: Path) -> dict[str, np.ndarray]:
    """Arrays (N, ...) of whole groups drawn from `rows`, MOST images at most unless one group has more.

    `embedding` float32 (N, D) is what the head reads; the others are `label` and `prediction` (class numbers), `group`,
    `confidence`, `brightness`, `sharpness`, and `width` and `height` of the file. The order is that of the split.
    """
    groups = group_numbers(np.array([row.group for row in rows]))
    chosen = _whole_groups(groups)
    parts = [_batch(classifier, val, chosen[start : start + AT_ONCE]) for start in range(0, len(chosen), AT_ONCE)]
    sizes = np.array([_size(raw / rows[index].path) for index in chosen], np.int32)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} | {
        "label": np.array([classifier.classes.index(rows[index].label) for index in chosen], np.int32),
        "group": group_numbers(groups[chosen]).astype(np.int32),
        "width": np.ascontiguousarray(sizes[:, 0]),
        "height": np.ascontiguousarray(sizes[:, 1]),
    }


def _whole_groups(groups: np.ndarray) -> list[int]:
    """The indices of the images of as many groups as fit, drawn at random."""
    counts = np.bincount(groups)
    order = np.random.default_rng(SEED).permutation(len(counts))
    fitting = max(1, int(np.searchsorted(np.cumsum(counts[order]), MOST, side="right")))
    return np.flatnonzero(np.isin(groups, order[:fitting])).tolist()


def _batch(classifier: Classifier, val: Part, indices: list[int]) -> dict[str, np.ndarray]:
    images = centre_crop(pick(val, indices), classifier.config["image_size"])
    with HeadInput(classifier.model) as head:
        logits = classifier.logits(images)
    read = head.last()
    probabilities = classifier.calibrated(logits)
    return {
        "embedding": (logits if read is None else read).numpy(),
        "prediction": probabilities.argmax(axis=1).astype(np.int32),
        "confidence": probabilities.max(axis=1),
        "brightness": brightness(images.numpy()),
        "sharpness": sharpness(images.numpy()),
    }


def _size(path: Path) -> tuple[int, int]:
    with opened(path) as image:
        return image.size
