"""All random choices for the images of a batch, drawn on the CPU."""

from dataclasses import dataclass

import torch
from torch import Tensor

from vit.config.schema import AugmentParams
from vit.data.augmentation.colour import COLOURS
from vit.data.augmentation.crop import FLIPS
from vit.data.augmentation.erasing import COVERINGS
from vit.data.augmentation.geometric import GEOMETRIC
from vit.data.augmentation.operation import Drawn, Draws, Kind, Operation
from vit.data.augmentation.pixelwise import PIXELWISE
from vit.data.augmentation.trivial import draw_strong

# In the order of application.
OPERATIONS: tuple[Operation, ...] = (*FLIPS, *GEOMETRIC, *PIXELWISE, *COLOURS, *COVERINGS)


@dataclass(frozen=True)
class Changes:
    """The choices drawn for B images, as CPU tensors."""

    crop: Tensor  # (B, 2) in [0, 1), how far down and right within the packed image's margin
    drawn: Drawn[Operation]  # of the operations that are on; twice for one that TrivialAugment applies too

    def of(self, piece: slice) -> "Changes":
        return Changes(self.crop[piece], [(operation, values[piece]) for operation, values in self.drawn])

    def by(self, kind: type[Kind]) -> Drawn[Kind]:
        return [(operation, values) for operation, values in self.drawn if isinstance(operation, kind)]


def draw_changes(
    count: int, settings: AugmentParams, draws: Draws, operations: tuple[Operation, ...] = OPERATIONS
) -> Changes:
    """Draw the changes to `count` images. Every operation has its own generator, independent of all others."""
    strong = draw_strong(settings.trivial, count, operations, draws) if settings.trivial else {}
    drawn = []
    for operation in operations:
        if value := operation.value(settings):
            drawn.append((operation, operation.draw(value, count, draws(operation.name))))
        if operation.name in strong:
            drawn.append((operation, strong[operation.name]))
    return Changes(torch.rand(count, 2, generator=draws("crop")), drawn)
