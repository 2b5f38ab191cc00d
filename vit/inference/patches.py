"""An image cut into patches: how many tokens that makes, and what attention between them costs.

Dosovitskiy et al. 2020, "An Image is Worth 16x16 Words", section 3.1.
"""

from collections.abc import Sequence

import numpy as np


def patch_sizes(image_size: Sequence[int]) -> list[int]:
    """The sides in pixels of square patches that tile an image of (height, width), smallest first."""
    return [size for size in range(1, min(image_size) + 1) if all(side % size == 0 for side in image_size)]


def token_count(image_size: Sequence[int], patch_size: int) -> int:
    """N = H/P * W/P, without class and other tokens that are no patches."""
    height, width = image_size
    return (height // patch_size) * (width // patch_size)


def attention_multiply_adds(tokens: int, embed_dim: int, depth: int) -> int:
    """Multiply-adds of q k^T and of attention times v in all blocks for one image: they grow with tokens squared."""
    return 2 * depth * tokens**2 * embed_dim


def cut(image: np.ndarray, patch_size: int) -> np.ndarray:
    """An image (H, W, C) of whole patches as (N, P, P, C), row by row, as the patch embedding reads it."""
    height, width, channels = image.shape
    rows, columns = height // patch_size, width // patch_size
    parts = image.reshape(rows, patch_size, columns, patch_size, channels).transpose(0, 2, 1, 3, 4)
    return parts.reshape(rows * columns, patch_size, patch_size, channels)


def apart(image: np.ndarray, patch_size: int, gap: int) -> np.ndarray:
    """The patches of an image uint8 (H, W, C) laid out with `gap` transparent pixels between them, RGBA."""
    height, width, _ = image.shape
    rows, columns = height // patch_size, width // patch_size
    step = patch_size + gap
    sheet = np.zeros((rows * step - gap, columns * step - gap, 4), dtype=np.uint8)
    for number, patch in enumerate(cut(image, patch_size)):
        top, left = number // columns * step, number % columns * step
        sheet[top : top + patch_size, left : left + patch_size, :3] = patch
        sheet[top : top + patch_size, left : left + patch_size, 3] = 255
    return sheet
