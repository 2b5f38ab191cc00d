"""scikit-learn's handwritten digits, which need no network."""

from pathlib import Path

import numpy as np
from PIL import Image

from vit.config.schema import DataParams


def fetch_digits(data: DataParams, raw: Path, tables: Path) -> dict:
    """Write the 1,797 digits, 8 x 8 pixels each, to `raw`/<digit>."""
    import sklearn
    from sklearn.datasets import load_digits

    digits = load_digits()
    # pyrefly: ignore[missing-attribute]  # without return_X_y it is not a tuple
    for index, (pixels, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        save_grey(np.rint(pixels * (255 / 16)), raw / str(label) / f"{index:04d}.png")
    return {"version": f"scikit-learn {sklearn.__version__}"}


def save_grey(pixels: np.ndarray, path: Path) -> None:
    """Save integers from 0 to 255 (H, W) as an 8-bit image."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)
