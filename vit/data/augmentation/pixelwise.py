"""Pixel-wise operations: each is a separate pass over the images that it changes, before colours change."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from vit.data.augmentation.operation import Drawn, Operation, each_changed


@dataclass(frozen=True)
class Pixelwise(Operation):
    """Draws amounts (B,); `change(x, amounts)` makes new x (b, C, H, W), 0 to 255, of amounts (b, 1, 1, 1)."""

    change: Callable[[Tensor, Tensor], Tensor]


def posterize(x: Tensor, amount: Tensor) -> Tensor:
    """Keep the upper 2 to 7 bits of 8, from amount -1 to 1."""
    step = 2 ** (8 - (5 + 3 * amount).long())
    return (x / step).floor() * step


def solarize(x: Tensor, amount: Tensor) -> Tensor:
    """Invert what lies above a threshold, 0 to 255 from amount -1 to 1."""
    return torch.where(x >= 255 * (1 + amount) / 2, 255 - x, x)


# In the order of application.
PIXELWISE = (
    Pixelwise("posterize", None, posterize, wide=1.0),
    Pixelwise("solarize", None, solarize, wide=1.0),
)


def change_pixels(x: Tensor, drawn: Drawn[Pixelwise]) -> None:
    """Change x (B, C, H, W), 0 to 255, in place."""
    for operation, amounts in drawn:
        for rows, chosen in each_changed(amounts, x.device):
            x[rows] = operation.change(x[rows], chosen[:, None, None, None])
