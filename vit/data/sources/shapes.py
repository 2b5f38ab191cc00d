"""Generated shapes: four classes of noisy patterns, for a pipeline that takes seconds."""

from pathlib import Path

import numpy as np

from vit.config.schema import DataParams
from vit.data.sources.digits import save_grey


def fetch_shapes(data: DataParams, raw: Path, tables: Path) -> dict:
    """Draw `data.shapes_per_class` patterns of each class, 8 x 8 pixels each, to `raw`/<class>."""
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
            save_grey(np.rint(255 * noisy.clip(0, 1)), raw / name / f"{index:04d}.png")
    return {"version": f"seed {data.seed}"}
