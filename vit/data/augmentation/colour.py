"""Colour operations: together with normalization one matrix and one offset per image."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from vit.data.augmentation.operation import Drawn, Operation, is_changed
from vit.data.batches import to_device

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow and torchvision turn colours to grey


@dataclass(frozen=True)
class Colour(Operation):
    """Draws amounts (B,), of which `matrices(amounts (B, 1, 1), eye (C, C), grey (C, C))` makes two (B, C, C).

    The first acts on the image's mean colour, the second on how far each pixel is from it. `grey` turns a colour grey.
    """

    matrices: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


def brightness(amount: Tensor, eye: Tensor, grey: Tensor) -> tuple[Tensor, Tensor]:
    brighter = (1 + amount) * eye
    return brighter, brighter


def contrast(amount: Tensor, eye: Tensor, grey: Tensor) -> tuple[Tensor, Tensor]:
    """About the mean grey of the image."""
    return (1 + amount) * eye - amount * grey, (1 + amount) * eye


def saturation(amount: Tensor, eye: Tensor, grey: Tensor) -> tuple[Tensor, Tensor]:
    """A single channel is already grey and does not change."""
    saturated = (1 + amount) * eye - amount * grey
    return saturated, saturated


# In the order of application.
COLOURS = (
    Colour("brightness", "brightness", brightness, wide=0.99),
    Colour("contrast", "contrast", contrast, wide=0.99),
    Colour("saturation", "saturation", saturation, wide=0.99),
)


class Recolouring(NamedTuple):
    """The combined colour operations of B images, as CPU tensors."""

    is_changed: Tensor  # (B,)
    matrix: Tensor  # (B, C, C), of each pixel
    of_mean: Tensor  # (B, C, C), of the image's mean colour, which is added


def recolouring_of(drawn: Drawn[Colour], count: int, channels: int) -> Recolouring:
    eye = torch.eye(channels)
    grey = torch.tensor(LUMA).expand(3, 3) if channels == 3 else eye
    changed, of_mean, matrix = torch.zeros(count, dtype=torch.bool), *eye.expand(2, count, -1, -1)
    for operation, amounts in drawn:
        changed = changed | is_changed(amounts)
        on_mean, on_rest = operation.matrices(amounts[:, None, None], eye, grey)
        of_mean, matrix = on_mean @ of_mean, on_rest @ matrix
    return Recolouring(changed, matrix, of_mean - matrix)


def recolour(x: Tensor, change: Recolouring, mean: list[float], std: list[float], out: Tensor) -> None:
    """Write x (B, C, H, W), 0 to 255, recoloured, clipped to the range and normalized, to `out`."""
    spread = torch.tensor(std)[:, None]  # (C, 1)
    offset = to_device(-torch.tensor(mean)[:, None] / spread, x.device)
    if change.of_mean.any():
        offset = offset + to_device(change.of_mean / (255 * spread), x.device) @ _mean_colour(x)
    torch.bmm(to_device(change.matrix / (255 * spread), x.device), x.flatten(2), out=out.flatten(2))
    out.add_(offset[..., None])
    for channel, (centre, deviation) in enumerate(zip(mean, std, strict=True)):
        out[:, channel].clamp_((0 - centre) / deviation, (1 - centre) / deviation)


def _mean_colour(x: Tensor) -> Tensor:
    """(B, C, 1) of x (B, C, H, W)."""
    if x.is_contiguous() or x.device.type != "cpu":
        return x.mean(dim=(2, 3))[..., None]
    # A CPU sums interleaved channels three times as fast by a product, row by row.
    B, C, H, W = x.shape
    rows = torch.full((B, 1, H), 1 / H).bmm(x.permute(0, 2, 3, 1).reshape(B, H, W * C))
    return rows.view(B, W, C).mean(dim=1)[..., None]
