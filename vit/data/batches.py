"""Packed arrays to model input: batches in a seeded order, and bytes to normalized numbers."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Packed:
    """One split: images uint8 (N, H, W, C), memory-mapped, and labels int64 (N,)."""

    images: Tensor
    labels: Tensor

    @classmethod
    def load(cls, folder: Path, part: str) -> "Packed":
        images = np.load(folder / f"{part}_images.npy", mmap_mode="c")
        return cls(torch.from_numpy(images), torch.from_numpy(np.load(folder / f"{part}_labels.npy")))

    def __len__(self) -> int:
        return len(self.labels)

    def on_device(self, device: torch.device) -> "Packed":
        """The same split with its images on a CUDA device, if they need less than half of its free memory.

        Batches are then gathered on the device, without a copy through the CPU; labels stay on the CPU.
        """
        if device.type != "cuda" or 2 * self.images.nbytes > torch.cuda.mem_get_info(device)[0]:
            return self
        return replace(self, images=self.images.to(device))

    def in_order(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of (images, labels) as packed, the last one shorter."""
        return zip(self.images.split(batch_size), self.labels.split(batch_size), strict=True)

    def batches(self, indices: Iterable[Tensor], then: Iterable[Tensor] = ()) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of (images, labels), one for each int64 (b,) of `indices`, which may be empty.

        What is read `then`, after these, makes no difference here.
        """
        for chosen in indices:
            # 6 times as fast as images[chosen] on 64 images of 256x256 pixels.
            yield self.images.index_select(0, to_device(chosen, self.images.device)), self.labels[chosen]


def to_unit(images: Tensor) -> Tensor:
    """uint8 (B, H, W, C) to float (B, C, H, W) in [0, 1]."""
    return images.permute(0, 3, 1, 2).float() / 255


def normalize(images: Tensor, mean: list[float], std: list[float]) -> Tensor:
    """(B, C, H, W) in [0, 1] to zero mean and unit deviation per channel."""
    centre, spread = (
        to_device(torch.tensor(values, dtype=images.dtype), images.device)[:, None, None] for values in (mean, std)
    )
    return (images - centre) / spread


def to_device(values: Tensor, device: torch.device) -> Tensor:
    """A copy on `device`, through pinned memory for CUDA: any other copy would wait for all queued work."""
    pinned = values.pin_memory() if device.type == "cuda" and values.device.type == "cpu" else values
    return pinned.to(device, non_blocking=True)
