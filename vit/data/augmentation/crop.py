"""Crop and flips, which copy pixels without blurring them."""

from dataclasses import dataclass

import torch
from torch import Tensor

from vit.data.augmentation.operation import Drawn, Operation, sometimes
from vit.data.batches import to_device


@dataclass(frozen=True)
class Flip(Operation):
    """Draws booleans (B,)."""

    axis: int  # 0: rows are reversed, 1: columns


FLIPS = (Flip("hflip", "hflip", 1, draw=sometimes),)


def corners(crop: Tensor, packed: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """Top and left (B, 2) int64, in pixels, of results in their packed images; `crop` (B, 2) is uniform in [0, 1)."""
    return (crop * torch.tensor([have - want + 1 for have, want in zip(packed, size, strict=True)])).long()


def flipped_axes(drawn: Drawn[Flip], count: int) -> Tensor:
    """(B, 2) bool: whether rows and whether columns are reversed."""
    flip = torch.zeros(count, 2, dtype=torch.bool)
    for operation, values in drawn:
        flip[:, operation.axis] ^= values
    return flip


def cut_out(images: Tensor, corner: Tensor, flip: Tensor, size: tuple[int, int]) -> Tensor:
    """Windows `(B, *size, C)` of images (B, H, W, C), by copying them on a CPU, else by gathering pixels once."""
    height, width = size
    if images.device.type != "cpu":
        corner, flip = to_device(corner, images.device), to_device(flip, images.device)
        row, column = torch.arange(height, device=images.device), torch.arange(width, device=images.device)
        rows = corner[:, :1] + torch.where(flip[:, :1], height - 1 - row, row)
        columns = corner[:, 1:] + torch.where(flip[:, 1:], width - 1 - column, column)
        image = torch.arange(len(images), device=images.device)[:, None, None]
        return images[image, rows[:, :, None], columns[:, None, :]]
    windows = []
    for image, (top, left), flips in zip(images, corner.tolist(), flip.tolist(), strict=True):
        window = image[top : top + height, left : left + width]
        windows.append(window.flip([axis for axis in (0, 1) if flips[axis]]) if any(flips) else window)
    return torch.stack(windows)
