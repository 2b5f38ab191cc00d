"""How many predictions change under image changes that should not alter the class."""

from collections.abc import Iterable
from functools import partial
from io import BytesIO

import numpy as np
from PIL import Image

from vit.config.schema import EvaluateParams
from vit.evaluation.paired import paired_bootstrap
from vit.evaluation.predictions import Change, Predictions

BRIGHTNESS = {"darker": 0.8, "brighter": 1.2}
JPEG_QUALITY = 30
INVARIANCE_COLUMNS = ["change", "accuracy", "difference", "low", "high", "same_answer"]
SHIFT = 1 / 32  # of the shorter side, at least one pixel


def changes_of(names: Iterable[str]) -> dict[str, Change]:
    """The changes for the names in `evaluate.invariance`."""
    known: dict[str, dict[str, Change]] = {
        "hflip": {"hflip": _flipped},
        "brightness": {name: partial(_brightened, factor=factor) for name, factor in BRIGHTNESS.items()},
        "shift": {
            "shift_up_left": partial(_shifted, corner=1),
            "shift_down_right": partial(_shifted, corner=-1),
        },
        "jpeg": {f"jpeg_{JPEG_QUALITY}": _recompressed},
    }
    return {change: function for name in names for change, function in known[name].items()}


def invariance_rows(predictions: Predictions, changed: dict[str, np.ndarray], settings: EvaluateParams) -> list[dict]:
    """One row per change: the accuracy after it, the difference in accuracy with its interval, and the share of images
    with the same prediction as before. `changed` are the predicted labels (N,) after each change."""
    rows = []
    before, level, seed = predictions.correct, settings.confidence_level, settings.seed
    for change, labels in changed.items():
        correct = labels == predictions.labels
        gain = paired_bootstrap(before, correct, predictions.groups, level, seed)
        alike = float((labels == predictions.predicted_labels).mean())
        rows.append(dict(zip(INVARIANCE_COLUMNS, (change, float(correct.mean()), *gain, alike), strict=True)))
    return rows


def _flipped(images: np.ndarray) -> np.ndarray:
    return images[:, :, ::-1]


def _brightened(images: np.ndarray, factor: float) -> np.ndarray:
    return (images * np.float32(factor)).round().clip(0, 255).astype(np.uint8)


def _shifted(images: np.ndarray, corner: int) -> np.ndarray:
    """Shifted by the same number of pixels along both axes, up and left for `corner` 1; the border is repeated."""
    pixels = max(1, round(SHIFT * min(images.shape[1:3])))
    padded = np.pad(images, ((0, 0), (pixels, pixels), (pixels, pixels), (0, 0)), mode="edge")
    start = pixels * (1 + corner)
    height, width = images.shape[1:3]
    return padded[:, start : start + height, start : start + width]


def _recompressed(images: np.ndarray) -> np.ndarray:
    return np.stack([_through_jpeg(image) for image in images])


def _through_jpeg(image: np.ndarray) -> np.ndarray:
    buffer = BytesIO()
    Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image).save(buffer, "JPEG", quality=JPEG_QUALITY)
    return np.asarray(Image.open(buffer)).reshape(image.shape)
