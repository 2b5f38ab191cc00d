"""Geometric operations: together one matrix per image, and one resampling."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor

from vit.data.augmentation.operation import Drawn, Operation, evenly

Row = tuple[Tensor | float, Tensor | float, Tensor | float]  # each (B,), or a number for all images


@dataclass(frozen=True)
class Geometric(Operation):
    """Draws amounts (B,), of which `matrix(amounts, (height, width))` makes the two rows of an affine map.

    It leads from places in the changed image to places in the image before: (x, y, 1), pixels right of and below the
    centre, so that a rotation keeps the proportions of a rectangular image.
    """

    matrix: Callable[[Tensor, tuple[int, int]], tuple[Row, Row]]


def rotate(degrees: Tensor, size: tuple[int, int]) -> tuple[Row, Row]:
    angle = torch.deg2rad(degrees)
    cos, sin = angle.cos(), angle.sin()
    return (cos, -sin, 0), (sin, cos, 0)


def scale(amount: Tensor, size: tuple[int, int]) -> tuple[Row, Row]:
    """The sides become 1 + amount times as long."""
    factor = (1 + amount).reciprocal()
    return (factor, 0, 0), (0, factor, 0)


def shear_x(tangent: Tensor, size: tuple[int, int]) -> tuple[Row, Row]:
    return (1, tangent, 0), (0, 1, 0)


def shear_y(tangent: Tensor, size: tuple[int, int]) -> tuple[Row, Row]:
    return (1, 0, 0), (tangent, 1, 0)


def shift_x(share: Tensor, size: tuple[int, int]) -> tuple[Row, Row]:
    return (1, 0, share * size[1]), (0, 1, 0)


def shift_y(share: Tensor, size: tuple[int, int]) -> tuple[Row, Row]:
    return (1, 0, 0), (0, 1, share * size[0])


def evenly_leaning(degrees: float, count: int, generator: torch.Generator) -> Tensor:
    """(B,), tangents of angles that are uniform within +-degrees."""
    return torch.tan(torch.deg2rad(evenly(degrees, count, generator)))


# In the order of application.
GEOMETRIC = (
    Geometric("shift_x", "translate", shift_x, wide=1 / 7),
    Geometric("shift_y", "translate", shift_y, wide=1 / 7),
    Geometric("rotate", "degrees", rotate, wide=135.0),
    Geometric("scale", "scale", scale),
    Geometric("shear_x", "shear", shear_x, draw=evenly_leaning, wide=0.99),
    Geometric("shear_y", None, shear_y, wide=0.99),
)


def affine_of(
    drawn: Drawn[Geometric], corner: Tensor, flip: Tensor, packed: tuple[int, int], size: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Which of B images are resampled, (B,) bool, and from where: (B, 2, 3) from places in the result to places in the
    packed image, x and y in [-1, 1], by way of the flip of the crop and its corner.
    """
    if not drawn:
        return torch.zeros(len(corner), dtype=torch.bool), torch.zeros(len(corner), 2, 3)
    moved = torch.stack([amounts for _, amounts in drawn]).any(dim=0)
    matrix = reduce(
        torch.bmm, _matrices([operation.matrix(amounts, size) for operation, amounts in drawn], len(corner))
    )
    scales = torch.tensor([2 / side for side in packed[::-1]])  # x, y; from pixels to the packed image's [-1, 1]
    middles = torch.tensor([(want - have) / 2 for have, want in zip(packed[::-1], size[::-1], strict=True)])
    affine = matrix[:, :2] * torch.where(flip.flip(1), -scales, scales)[:, :, None]
    affine[:, :, 2] += (corner.flip(1) + middles) * scales
    return moved, affine * torch.tensor([size[1] / 2, size[0] / 2, 1])


def resample(x: Tensor, affine: Tensor, size: tuple[int, int]) -> Tensor:
    """`(B, C, *size)` of x (B, C, H, W), bilinear; beyond its edges x is continued by them."""
    places = F.affine_grid(torch.eye(2, 3, device=x.device)[None], [1, 1, *size], align_corners=False)
    places = F.pad(places.view(1, -1, 2), (0, 1), value=1.0).expand(len(x), -1, -1)  # (B, H W, 3): x, y, 1
    grid = places.bmm(affine.mT).view(len(x), *size, 2)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)


def _matrices(maps: list[tuple[Row, Row]], count: int) -> tuple[Tensor, ...]:
    """A (B, 3, 3) of each map; one stack for all of them, which tiny batches would feel otherwise."""
    entries = [entry for upper, lower in maps for entry in (*upper, *lower, 0, 0, 1)]
    numbers = {entry for entry in entries if not isinstance(entry, Tensor)}
    constants = {number: torch.full((count,), float(number)) for number in numbers}
    columns = [entry if isinstance(entry, Tensor) else constants[entry] for entry in entries]
    return torch.stack(columns, dim=1).view(count, len(maps), 3, 3).unbind(dim=1)
