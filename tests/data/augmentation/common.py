"""Images, settings and draws for the tests of augmentation."""

from functools import partial

import torch

from vit.config.schema import AugmentParams
from vit.data.augmentation.apply import augment
from vit.data.augmentation.changes import OPERATIONS, draw_changes
from vit.data.augmentation.operation import Draws, Operation
from vit.data.seeds import seeded

NOTHING = AugmentParams(**dict.fromkeys(AugmentParams.model_fields, 0.0))
WEAK = {
    "hflip": 0.5,
    "degrees": 20.0,
    "scale": 0.2,
    "translate": 0.1,
    "shear": 10.0,
    "brightness": 0.3,
    "contrast": 0.3,
    "saturation": 0.3,
    "erasing": 0.5,
}
EVERYTHING = {**WEAK, "trivial": 0.5}


def only(**changes) -> AugmentParams:
    return NOTHING.model_copy(update=changes)


def draws_of(seed: int = 0) -> Draws:
    return partial(seeded, seed)


def varied(
    images: torch.Tensor,
    settings: AugmentParams,
    size=None,
    seed: int = 0,
    operations: tuple[Operation, ...] = OPERATIONS,
    **options,
) -> torch.Tensor:
    """Packed uint8 (B, H', W', C) augmented, in [0, 1]: normalized by a mean of 0 and a deviation of 1."""
    B, height, width, C = images.shape
    changes = draw_changes(B, settings, draws_of(seed), operations)
    return augment(images, changes, size or (height, width), [0.0] * C, [1.0] * C, **options)


def noisy(*shape: int) -> torch.Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=seeded(9))


def gradient(count: int, height: int, width: int) -> torch.Tensor:
    """Images (B, H, W, 2) whose pixels tell their row and column."""
    row, column = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([row, column], dim=2).to(torch.uint8).repeat(count, 1, 1, 1)
