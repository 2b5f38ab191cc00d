"""Mixing: combines each image of a batch with its neighbour, and their labels in the same way."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vit.config.schema import AugmentParams
from vit.data.augmentation.erasing import in_pixels, inside
from vit.data.augmentation.operation import Draws, Operation, each_changed
from vit.data.batches import to_device


@dataclass(frozen=True)
class Mixing(Operation):
    """Draws (B, ...); `mix(x, others, drawn)` changes x (B, C, H, W) in place and returns the share (B,), on the CPU,
    that each image keeps of itself.
    """

    mix: Callable[[Tensor, Tensor, Tensor], Tensor]


def draw_shares(alpha: float, count: int, generator: torch.Generator) -> Tensor:
    """(B,) of the distribution Beta(alpha, alpha), alpha as in timm."""
    # It is a Dirichlet distribution of two; torch.distributions take no generator.
    pairs = torch._sample_dirichlet(torch.full((count, 2), alpha, dtype=torch.float64), generator)
    return pairs[:, 0].float()


def mixup(x: Tensor, others: Tensor, shares: Tensor) -> Tensor:
    """A weighted sum: Zhang et al. 2018, "mixup"."""
    x.lerp_(others, 1 - to_device(shares, x.device)[:, None, None, None])
    return shares


def draw_boxes(alpha: float, count: int, generator: torch.Generator) -> Tensor:
    """(B, 4) top, left, bottom, right, as shares of the sides, of a rectangle of 1 - share of the area that has the
    image's aspect ratio, a centre anywhere, and is cut off at the image's edges.
    """
    half = (1 - draw_shares(alpha, count, generator)).sqrt()[:, None] / 2
    centre = torch.rand(count, 2, generator=generator)
    return torch.cat([centre - half, centre + half], dim=1).clamp(0, 1)


def cutmix(x: Tensor, others: Tensor, boxes: Tensor) -> Tensor:
    """A rectangle of the neighbour: Yun et al. 2019, "CutMix", equations 1 and 2."""
    height, width = x.shape[2:]
    pixels = in_pixels(boxes, height, width)
    for rows, chosen in each_changed(pixels, x.device):
        x[rows] = torch.where(inside(chosen, height, width), others[rows], x[rows])
    top, left, bottom, right = pixels.unbind(dim=1)
    return 1 - (bottom - top) * (right - left) / (height * width)


MIXINGS = (
    Mixing("mixup", "mixup", mixup, draw=draw_shares),
    Mixing("cutmix", "cutmix", cutmix, draw=draw_boxes),
)


def mix(
    x: Tensor,
    labels: Tensor,
    classes: int,
    settings: AugmentParams,
    draws: Draws,
    operations: tuple[Mixing, ...] = MIXINGS,
) -> tuple[Tensor, Tensor]:
    """Mix x (B, C, H, W) in place; labels (B,) become probabilities (B, classes), or stay if all operations are off.

    Each batch gets one of the active operations, all equally likely.
    """
    generators = {one: draws(one.name) for one in operations if one.value(settings)}
    if not generators:
        return x, labels
    # The highest first number wins, so that a new operation takes over some batches and does not change the others.
    operation = max(generators, key=lambda one: torch.rand((), generator=generators[one]).item())
    drawn = operation.draw(operation.value(settings), len(x), generators[operation])
    shares = to_device(operation.mix(x, x.roll(1, dims=0), drawn), x.device)
    own = F.one_hot(labels, classes).float()
    return x, torch.lerp(own.roll(1, dims=0), own, shares[:, None])
