"""Data sets that need no network: scikit-learn's digits, and shapes drawn here."""

from pathlib import Path

import numpy as np
from PIL import Image

from vit.config.schema import DataParams


def write_digits(target: Path) -> str:
    """Write the 1,797 digits of scikit-learn, 8 x 8 pixels each; return the version."""
    import sklearn
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    for index, (pixels, label) in enumerate(zip(images.reshape(-1, 8, 8), labels, strict=True)):
        _save(np.rint(pixels * (255 / 16)), target / str(label) / f"{index:04d}.png")
    return f"scikit-learn {sklearn.__version__}"


def write_shapes(data: DataParams, target: Path) -> str:
    """Draw four classes of `data.shapes_per_class` noisy patterns, 8 x 8 pixels each; return the version."""
    row, column = np.mgrid[0:8, 0:8]
    patterns = {
        "horizontal_bars": row // 2 % 2,
        "vertical_bars": column // 2 % 2,
        "diagonal_gradient": (row + column) / 14,
        "checkerboard": (row // 2 + column // 2) % 2,
    }
    generator = np.random.default_rng(data.seed)
    for name, pattern in patterns.items():
        for index in range(data.shapes_per_class):
            noisy = pattern + generator.normal(0, data.shapes_noise, pattern.shape)
            _save(np.rint(255 * noisy.clip(0, 1)), target / name / f"{index:04d}.png")
    return f"seed {data.seed}"


def _save(pixels: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)
