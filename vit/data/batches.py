"""Packed arrays to model input: batches in a seeded order, augmented on the batch, on the device."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vit.params import AugmentParams

GREY = 0.5


@dataclass(frozen=True)
class Packed:
    """One part of the split: images uint8 (N, H, W, C), memory-mapped, and labels int64 (N,)."""

    images: Tensor
    labels: Tensor

    @classmethod
    def load(cls, folder: Path, part: str) -> "Packed":
        images = np.load(folder / f"{part}_images.npy", mmap_mode="c")
        return cls(torch.from_numpy(images), torch.from_numpy(np.load(folder / f"{part}_labels.npy")))

    def __len__(self) -> int:
        return len(self.labels)

    def in_order(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of (images, labels) as packed, the last one shorter."""
        return zip(self.images.split(batch_size), self.labels.split(batch_size), strict=True)

    def shuffled(self, batch_size: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of (images, labels) in a random order, the last one shorter."""
        for indices in torch.randperm(len(self), generator=generator).split(batch_size):
            yield self.images[indices], self.labels[indices]


def to_unit(images: Tensor) -> Tensor:
    """uint8 (B, H, W, C) to float (B, C, H, W) in [0, 1]."""
    return images.permute(0, 3, 1, 2).float() / 255


def normalize(images: Tensor, mean: list[float], std: list[float]) -> Tensor:
    """(B, C, H, W) in [0, 1] to zero mean and unit deviation per channel."""
    return (images - images.new_tensor(mean)[:, None, None]) / images.new_tensor(std)[:, None, None]


def augment(images: Tensor, settings: AugmentParams, generator: torch.Generator) -> Tensor:
    """Vary each image (B, C, H, W) in [0, 1] on its own; the draws come from `generator`, on the CPU.

    Rotation, scale, shift and shear are one resampling (bilinear, edges repeated); a flip alone copies pixels.
    """
    B, _, H, W = images.shape

    def draw(spread: float = 1.0) -> Tensor:  # (B,), uniform within +- spread
        return ((2 * torch.rand(B, generator=generator) - 1) * spread).to(images.device)

    def happens(probability: float) -> Tensor:  # (B,), boolean
        return (torch.rand(B, generator=generator) < probability).to(images.device)

    if settings.hflip:
        images = torch.where(happens(settings.hflip)[:, None, None, None], images.flip(-1), images)
    if settings.degrees or settings.scale or settings.translate or settings.shear:
        grid = _affine_grid(settings, draw, H, W)
        images = F.grid_sample(images, grid.to(images.dtype), padding_mode="border", align_corners=False)
    if settings.brightness:
        images = images * (1 + draw(settings.brightness))[:, None, None, None]
    if settings.contrast:
        mean = images.mean(dim=(1, 2, 3), keepdim=True)
        images = mean + (images - mean) * (1 + draw(settings.contrast))[:, None, None, None]
    if settings.erasing:
        images = images.masked_fill(_rectangles(draw, H, W) & happens(settings.erasing)[:, None, None, None], GREY)
    return images.clamp(0, 1)


def _affine_grid(settings: AugmentParams, draw, height: int, width: int) -> Tensor:
    """Sampling positions (B, H, W, 2) in [-1, 1]; angles act on pixels, so that rectangles turn undistorted."""
    angle, shear = torch.deg2rad(draw(settings.degrees)), torch.tan(torch.deg2rad(draw(settings.shear)))
    zoom, shift_x, shift_y = 1 + draw(settings.scale), 2 * draw(settings.translate), 2 * draw(settings.translate)
    cos, sin, aspect = angle.cos() / zoom, angle.sin() / zoom, width / height
    rows = [
        torch.stack([cos, (shear * cos - sin) / aspect, shift_x], dim=1),
        torch.stack([sin * aspect, cos + shear * sin, shift_y], dim=1),
    ]
    return F.affine_grid(torch.stack(rows, dim=1), [len(angle), 1, height, width], align_corners=False)


def _rectangles(draw, height: int, width: int) -> Tensor:
    """One rectangle per image, 1/4 to 1/2 of each side, as a mask (B, 1, H, W)."""
    masks = []
    for side in (height, width):
        half = (3 + draw()) / 16
        centre = half + (1 - 2 * half) * (1 + draw()) / 2
        place = (torch.arange(side, device=centre.device) + 0.5) / side
        masks.append((place - centre[:, None]).abs() <= half[:, None])
    return (masks[0][:, :, None] & masks[1][:, None, :])[:, None]
