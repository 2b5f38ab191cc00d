"""What every augmentation is made of. Each is one entry in the tuple of its kind, and images are changed in this order:

Flip (crop.py); Geometric (geometric.py), one resampling for all; Pixelwise (pixelwise.py), one pass each; Colour
(colour.py), one pass for all; Covering (erasing.py); Mixing (mixing.py), which also changes labels.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor

from vit.config.schema import AugmentParams
from vit.data.batches import to_device

# From a name to a new generator that it seeds: an operation draws the same, whatever the others draw.
Draws = Callable[[str], torch.Generator]


def evenly(limit: float, count: int, generator: torch.Generator) -> Tensor:
    """(B,), uniform within +-limit."""
    return torch.empty(count).uniform_(-limit, limit, generator=generator)


def sometimes(probability: float, count: int, generator: torch.Generator) -> Tensor:
    """(B,), boolean."""
    return torch.rand(count, generator=generator) < probability


@dataclass(frozen=True)
class Operation:
    """One augmentation. It draws a row per image, and a row of zeros leaves the image as it is."""

    name: str  # also seeds its draws
    parameter: str | None  # of AugmentParams, 0: off; None: only TrivialAugment applies the operation
    draw: Callable[[float, int, torch.Generator], Tensor] = field(default=evenly, kw_only=True)  # (value, B, generator)
    wide: float = field(default=0.0, kw_only=True)  # drawn within +- this by TrivialAugment; 0: not one of its own

    def value(self, settings: AugmentParams) -> float:
        """The value of its parameter; 0 for an operation without one."""
        return getattr(settings, self.parameter) if self.parameter else 0.0


Kind = TypeVar("Kind", bound=Operation)
Drawn = list[tuple[Kind, Tensor]]  # operations in the order in which they are applied, each with its rows


def is_changed(values: Tensor) -> Tensor:
    """(B,) which rows of (B,) or (B, n) are not all zero."""
    return values.bool() if values.ndim == 1 else values.any(dim=1)


def each_changed(values: Tensor, device: torch.device) -> Iterator[tuple[slice | Tensor, Tensor]]:
    """Indices of the images that `values` (B,) or (B, n) change, with their values on the device.

    One image at a time on a CPU, where it stays in the cache; on other devices all at once, in few kernels.
    """
    indices = is_changed(values).nonzero()[:, 0]
    if device.type == "cpu":
        yield from ((slice(i, i + 1), values[i : i + 1]) for i in indices.tolist())
    elif len(indices):
        yield to_device(indices, device), to_device(values[indices], device)
