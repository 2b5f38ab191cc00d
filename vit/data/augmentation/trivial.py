"""TrivialAugment: one strong change per image, drawn from all operations with a strength (`wide`).

Müller and Hutter 2021, "TrivialAugment": the strengths are those of its "wide" space (degrees; tangents; shares of the
side, 32 of 224 pixels; factors within 1 +-; the whole range). Of its operations, those are left out that need a pass of
their own over neighbours or a histogram (sharpness, equalize, autocontrast).
"""

import torch
from torch import Tensor

from vit.data.augmentation.operation import Draws, Operation, sometimes


def draw_strong(probability: float, count: int, operations: tuple[Operation, ...], draws: Draws) -> dict[str, Tensor]:
    """Amounts (B,) by the operation's name; all are 0 for an image that stays unchanged.

    Every operation draws a score per image, and the highest is chosen. So all are equally likely, and a new operation
    takes its share of the images and does not change the others.
    """
    candidates = [operation for operation in operations if operation.wide]
    numbers = [torch.rand(2, count, generator=draws(f"trivial {operation.name}")) for operation in candidates]
    scores, strengths = torch.stack(numbers, dim=1)  # (operations, B)
    reach = torch.tensor([operation.wide for operation in candidates])[:, None]
    is_chosen = scores.argmax(dim=0) == torch.arange(len(candidates))[:, None]
    is_touched = sometimes(probability, count, draws("trivial"))
    amounts = (2 * strengths - 1) * reach * (is_chosen & is_touched)
    return {operation.name: chosen for operation, chosen in zip(candidates, amounts, strict=True)}
