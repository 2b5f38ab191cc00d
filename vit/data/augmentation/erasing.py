"""Operations that cover a rectangle of an image with grey, after all others."""

from dataclasses import dataclass

import torch
from torch import Tensor

from vit.data.augmentation.operation import Drawn, Operation, each_changed, sometimes
from vit.data.batches import normalize

GREY = 0.5


@dataclass(frozen=True)
class Covering(Operation):
    """Draws (B, 4) top, left, bottom, right of a rectangle that becomes grey, as shares of the sides."""


def rectangles(probability: float, count: int, generator: torch.Generator) -> Tensor:
    """(B, 4), 1/4 to 1/2 of each side."""
    sides = (1 + torch.rand(count, 2, generator=generator)) / 4
    corner = (1 - sides) * torch.rand(count, 2, generator=generator)
    return torch.cat([corner, corner + sides], dim=1) * sometimes(probability, count, generator)[:, None]


COVERINGS = (Covering("erasing", "erasing", draw=rectangles),)


def in_pixels(boxes: Tensor, height: int, width: int) -> Tensor:
    """Rectangles (B, 4), given as shares of the sides, in whole pixels."""
    return (boxes * torch.tensor([height, width, height, width])).round()


def inside(boxes: Tensor, height: int, width: int) -> Tensor:
    """Bool (B, 1, height, width): which pixels lie in the rectangle (B, 4), given in pixels."""
    top, left, bottom, right = boxes[:, :, None].unbind(dim=1)  # (B, 1)
    row, column = torch.arange(height, device=boxes.device), torch.arange(width, device=boxes.device)
    rows, columns = (top <= row) & (row < bottom), (left <= column) & (column < right)
    return (rows[:, :, None] & columns[:, None, :])[:, None]


def cover(x: Tensor, drawn: Drawn[Covering], mean: list[float], std: list[float]) -> None:
    """Cover pixels of normalized x (B, C, H, W) in place."""
    height, width = x.shape[2:]
    for _, boxes in drawn:
        grey = normalize(x.new_full((len(mean), 1, 1), GREY), mean, std)
        for rows, chosen in each_changed(in_pixels(boxes, height, width), x.device):
            x[rows] = torch.where(inside(chosen, height, width), grey, x[rows])
