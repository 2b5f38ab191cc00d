"""Packed arrays to model input: batches in a seeded order, and bytes to normalized numbers."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor


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

    def batches(self, indices: Iterable[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of (images, labels), one for each int64 (b,) of `indices`, which may be empty."""
        for chosen in indices:
            # 6 times as fast as images[chosen] on 64 images of 256x256 pixels.
            yield self.images.index_select(0, chosen), self.labels[chosen]


def to_unit(images: Tensor) -> Tensor:
    """uint8 (B, H, W, C) to float (B, C, H, W) in [0, 1]."""
    return images.permute(0, 3, 1, 2).float() / 255


def normalize(images: Tensor, mean: list[float], std: list[float]) -> Tensor:
    """(B, C, H, W) in [0, 1] to zero mean and unit deviation per channel."""
    return (images - images.new_tensor(mean)[:, None, None]) / images.new_tensor(std)[:, None, None]
