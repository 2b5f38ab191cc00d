"""Pictures and folders of pictures that tests draw themselves."""

from pathlib import Path

import numpy as np
from PIL import Image


def noise(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    """Random uint8 pixels (H, W, 3), or (H, W) for one channel."""
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def draw(path: Path, seed: int = 0, height: int = 6, width: int = 9, channels: int = 3) -> Path:
    """Save random pixels in the format that the name's ending says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise(height, width, channels, seed)).save(path)
    return path


def draw_classes(root: Path, counts: dict[str, int]) -> Path:
    """Folders of PNGs, one per class, every image with pixels of its own."""
    seed = 0
    for label, count in counts.items():
        for index in range(count):
            draw(root / label / f"{index:03d}.png", seed)
            seed += 1
    return root
