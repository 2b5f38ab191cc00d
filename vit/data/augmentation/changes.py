"""What an augmentation does to each image of a batch: everything that is random about it, drawn on the CPU."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from vit.config.schema import AugmentParams

# The strong changes of TrivialAugment and how far they go to either side: the "wide" space of Müller and Hutter 2021
# (degrees; tangents; shares of the side, 32 of 224 pixels; factors within 1 +-; the whole range). Of theirs, those are
# left out that need a pass of their own over neighbours or a histogram (sharpness, equalize, autocontrast).
GEOMETRIC = {"rotate": 135.0, "shear_x": 0.99, "shear_y": 0.99, "shift_x": 1 / 7, "shift_y": 1 / 7}
COLOURS = {"brightness": 0.99, "contrast": 0.99, "saturation": 0.99}
TRIVIAL = GEOMETRIC | COLOURS | {"posterize": 1.0, "solarize": 1.0}


@dataclass(frozen=True)
class Changes:
    """What happens to B images of a batch, as CPU tensors; what is off leaves its pixels as they are."""

    corner: Tensor  # (B, 2) int64, top and left of the crop in the packed image, pixels
    flip: Tensor  # (B,) bool, left and right change places
    moved: Tensor  # (B,) bool, `affine` is used; without it pixels are copied
    affine: Tensor  # (B, 2, 3) from places in the result to places in the packed image, x and y in [-1, 1]
    factors: Tensor  # (B, 3) of brightness, contrast, saturation
    bits: Tensor  # (B,) int64, posterize: bits that are kept of 8
    threshold: Tensor  # (B,) solarize: values in [0, 1] above it are inverted; 1: none
    erased: Tensor  # (B, 4) int64, top, bottom, left, right of a rectangle in the result, pixels; all 0: none

    def of(self, piece: slice) -> "Changes":
        return Changes(*(getattr(self, field.name)[piece] for field in dataclasses.fields(self)))


def draw_changes(
    count: int, packed: tuple[int, int], size: tuple[int, int], settings: AugmentParams, generator: torch.Generator
) -> Changes:
    """Draw what happens to `count` images of `packed` (height, width) pixels, of which `size` are cut out."""

    def draw(spread: float = 1.0) -> Tensor:  # (B,), uniform within +- spread
        return (2 * torch.rand(count, generator=generator) - 1) * spread

    def happens(probability: float) -> Tensor:  # (B,), boolean
        return torch.rand(count, generator=generator) < probability

    # A change that is off draws nothing, so that switching on another one leaves those before it as they were.
    corner = torch.zeros(count, 2, dtype=torch.int64)
    if packed != size:
        room = [have - want for have, want in zip(packed, size, strict=True)]
        corner = torch.stack([torch.randint(side + 1, (count,), generator=generator) for side in room], dim=1)
    flip = happens(settings.hflip) if settings.hflip else torch.zeros(count, dtype=torch.bool)
    weak = dict.fromkeys([*TRIVIAL, "scale"], torch.zeros(count))
    if settings.degrees or settings.scale or settings.translate or settings.shear:
        weak["rotate"], weak["shear_x"] = draw(settings.degrees), torch.tan(torch.deg2rad(draw(settings.shear)))
        weak["scale"], weak["shift_x"] = draw(settings.scale), draw(settings.translate)
        weak["shift_y"] = draw(settings.translate)
    weak |= {name: draw(getattr(settings, name)) for name in COLOURS if getattr(settings, name)}
    erased = torch.zeros(count, 4, dtype=torch.int64)
    if settings.erasing:
        erased = _rectangles(draw, size) * happens(settings.erasing)[:, None]
    strong = dict.fromkeys(TRIVIAL, torch.zeros(count))
    if settings.trivial:
        kinds = torch.randint(len(TRIVIAL), (count,), generator=generator)
        strengths = draw() * happens(settings.trivial)
        strong = {name: strengths * most * (kinds == kind) for kind, (name, most) in enumerate(TRIVIAL.items())}
    both = {name: weak[name] + strong[name] for name in GEOMETRIC}
    moved, affine = torch.stack([*both.values(), weak["scale"]]).any(dim=0), torch.zeros(count, 2, 3)
    if moved.any():
        affine = _in_packed(_affine(both, weak["scale"], size), corner, flip, packed, size)
    return Changes(
        corner=corner,
        flip=flip,
        moved=moved,
        affine=affine,
        factors=torch.stack([(1 + weak[name]) * (1 + strong[name]) for name in COLOURS], dim=1),
        bits=torch.where(strong["posterize"] != 0, (5 + 3 * strong["posterize"]).long(), 8),  # 2 to 7
        threshold=torch.where(strong["solarize"] != 0, (1 + strong["solarize"]) / 2, 1.0),
        erased=erased,
    )


def _affine(amounts: dict[str, Tensor], scale: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, 2, 3) from places in the result to places in the crop; angles act on pixels, so that rectangles turn
    undistorted."""
    angle, shear_x, shear_y = torch.deg2rad(amounts["rotate"]), amounts["shear_x"], amounts["shear_y"]
    cos, sin, aspect = angle.cos() / (1 + scale), angle.sin() / (1 + scale), size[1] / size[0]
    across, down = shear_x * cos - sin, cos + shear_x * sin
    rows = [
        torch.stack([cos + shear_y * across, across / aspect, 2 * amounts["shift_x"]], dim=1),
        torch.stack([(sin + shear_y * down) * aspect, down, 2 * amounts["shift_y"]], dim=1),
    ]
    return torch.stack(rows, dim=1)


def _in_packed(affine: Tensor, corner: Tensor, flip: Tensor, packed: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """The affine to places in the crop, continued by the flip of the crop and its place in the packed image."""
    extent, room = torch.tensor(packed[::-1]), torch.tensor(size[::-1])  # as x, y
    mirror = torch.stack([1 - 2 * flip.float(), torch.ones(len(flip))], dim=1)
    affine = affine * (mirror * room / extent)[:, :, None]
    affine[:, :, 2] += (2 * corner.flip(1) + room) / extent - 1
    return affine


def _rectangles(draw: Callable[[], Tensor], size: tuple[int, int]) -> Tensor:
    """(B, 4) top, bottom, left, right of one rectangle per image, 1/4 to 1/2 of each side, in pixels."""
    bounds = []
    for side in size:
        half = (3 + draw()) / 16
        centre = half + (1 - 2 * half) * (1 + draw()) / 2
        bounds += [((centre - half) * side).round(), ((centre + half) * side).round()]
    return torch.stack(bounds, dim=1).long()


def draw_shares(count: int, settings: AugmentParams, generator: torch.Generator) -> tuple[bool, Tensor]:
    """Whether a batch is mixed by cutmix, else by mixup, and the share (B,) that each image keeps of itself."""
    cut = settings.cutmix > 0
    if cut and settings.mixup:
        cut = bool(torch.rand((), generator=generator) < 0.5)
    # Beta(alpha, alpha) is a Dirichlet distribution of two; torch.distributions take no generator.
    alpha = torch.full((count, 2), settings.cutmix if cut else settings.mixup, dtype=torch.float64)
    return cut, torch._sample_dirichlet(alpha, generator)[:, 0].float()


def draw_boxes(shares: Tensor, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """(B, 4) top, bottom, left, right of a rectangle of 1 - share of the area, cut off at the image's edges, pixels.

    Yun et al. 2019, "CutMix", equations 1 and 2: centre uniform over the image, the image's aspect ratio.
    """
    bounds = []
    for side in size:
        centre = torch.rand(len(shares), generator=generator) * side
        half = (1 - shares).sqrt() * side / 2
        bounds += [(centre - half).round().clamp(0, side), (centre + half).round().clamp(0, side)]
    return torch.stack(bounds, dim=1).long()
