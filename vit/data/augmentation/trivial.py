"""TrivialAugment: one strong change per image, drawn from all operations that say how strong (`wide`).

Müller and Hutter 2021, "TrivialAugment": the strengths are those of its "wide" space (degrees; tangents; shares of the
side, 32 of 224 pixels; factors within 1 +-; the whole range). Of its operations, those are left out that need a pass of
their own over neighbours or a histogram (sharpness, equalize, autocontrast).
"""

import torch
from torch import Tensor

from vit.data.augmentation.operation import Draws, Operation, sometimes


def draw_strong(probability: float, count: int, operations: tuple[Operation, ...], draws: Draws) -> dict[str, Tensor]:
    """Amounts (B,) by the operation's name; all are 0 for an image that is spared.

    Every operation draws a score per image, and the highest is chosen. So each is as likely as any other, and a new
    operation takes its share of the images and leaves all others as they were.
    """
    candidates = [operation for operation in operations if operation.wide]
    numbers = [torch.rand(2, count, generator=draws(f"trivial {operation.name}")) for operation in candidates]
    scores, strengths = torch.stack(numbers, dim=1)  # (operations, B)
    reach = torch.tensor([operation.wide for operation in candidates])[:, None]
    is_chosen = scores.argmax(dim=0) == torch.arange(len(candidates))[:, None]
    is_touched = sometimes(probability, count, draws("trivial"))
    amounts = (2 * strengths - 1) * reach * (is_chosen & is_touched)
    return {operation.name: chosen for operation, chosen in zip(candidates, amounts, strict=True)}
