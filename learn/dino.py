"""Self-distillation without labels: a student gives each view of an image the code that its own average gives another.

Caron et al. 2021, "Emerging Properties in Self-Supervised Vision Transformers", section 3.1 and algorithm 1.
"""

import copy
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vit.models.vision_transformer import VisionTransformer
from vit.training.initial import resample_positions

STUDENT_TEMPERATURE = 0.1
CENTRE_MOMENTUM = 0.9


class Dino(nn.Module):
    """`student`, which learns, and `teacher`, its moving average; each is a backbone with a projector to K codes.

    `backbone` answers with features (B, D) of images of `grid` patches (rows, columns) or fewer. `centre` (1, K) is the
    moving average of the teacher's outputs. Without `is_centred` it stays 0; a `temperature` of the teacher as high as
    the student's or higher means that targets are not sharpened.
    """

    centre: Tensor

    def __init__(
        self,
        backbone: VisionTransformer,
        grid: tuple[int, int],
        codes: int = 1024,
        temperature: float = 0.04,
        is_centred: bool = True,
    ):
        super().__init__()
        self.grid, self.temperature, self.is_centred = grid, temperature, is_centred
        self.student = nn.ModuleList([backbone, projector(backbone.pos_embed.shape[-1], codes)])
        self.teacher = copy.deepcopy(self.student).requires_grad_(False)
        self.register_buffer("centre", torch.zeros(1, codes))

    def forward(self, wide: Sequence[Tensor], narrow: Sequence[Tensor] = ()) -> tuple[Tensor, Tensor]:
        """The loss, and the teacher's targets (len(wide), B, K), on views (B, C, H, W) of the same B images.

        The teacher sees the `wide` views, the student all; the loss is the mean cross-entropy over all pairs of
        different views. Moves the centre.
        """
        with torch.no_grad():
            taught = torch.stack([self._codes(self.teacher, view) for view in wide])  # (wide, B, K)
            targets = self.targets(taught)
            if self.is_centred:
                self.centre.lerp_(taught.float().mean(dim=(0, 1))[None], 1 - CENTRE_MOMENTUM)
        answers = [
            (self._codes(self.student, view) / STUDENT_TEMPERATURE).log_softmax(dim=-1) for view in (*wide, *narrow)
        ]
        pairs = [(i, j) for i in range(len(wide)) for j in range(len(answers)) if i != j]
        loss = torch.stack([-(targets[i] * answers[j]).sum(dim=-1).mean() for i, j in pairs]).mean()
        return loss, targets

    def targets(self, taught: Tensor) -> Tensor:
        """The teacher's outputs (..., K) as probabilities: centred, then sharpened."""
        return ((taught - self.centre) / self.temperature).softmax(dim=-1)

    @torch.no_grad()
    def follow(self, momentum: float) -> None:
        """Move every weight of the teacher towards the student's: `momentum` times its own, the rest the student's."""
        for theirs, ours in zip(self.teacher.parameters(), self.student.parameters(), strict=True):
            theirs.lerp_(ours, 1 - momentum)

    def _codes(self, network: nn.ModuleList, view: Tensor) -> Tensor:
        backbone, project = network
        return project(features(backbone, self.grid, view))


def features(backbone: VisionTransformer, grid: tuple[int, int], view: Tensor) -> Tensor:
    """What a backbone of `grid` patches (rows, columns) answers to images of another size, (B, C, H, W) to (B, D).

    Its position embeddings are resampled to their grid.
    """
    patch = backbone.patch_embed.patch_size
    smaller = (view.shape[2] // patch, view.shape[3] // patch)
    if smaller == grid:
        return backbone(view)
    tokens = backbone.pos_embed.shape[1] - grid[0] * grid[1]
    of_tokens, of_patches = backbone.pos_embed[0].tensor_split([tokens])
    positions = torch.cat([of_tokens, resample_positions(of_patches, grid, smaller)])[None]
    return torch.func.functional_call(backbone, {"pos_embed": positions}, (view,))


class _Normalize(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(x, dim=-1)


def projector(dim: int, codes: int) -> nn.Sequential:
    """Features (B, dim) to their cosines with fixed random directions, one for each code: (B, codes)."""
    hidden = [nn.Linear(dim, 256), nn.GELU(), nn.Linear(256, 64), _Normalize()]
    last = nn.Linear(64, codes, bias=False).requires_grad_(False)
    with torch.no_grad():
        last.weight.copy_(F.normalize(last.weight, dim=1))
    return nn.Sequential(*hidden, last)


def momentum_at(share: float, start: float = 0.99) -> float:
    """The teacher's momentum when `share` of the training is done: a cosine from `start` up to 1."""
    return 1 - (1 - start) * (1 + math.cos(math.pi * share)) / 2


def entropies(targets: Tensor) -> tuple[float, float]:
    """Of the teacher's targets (..., K), each as a share of its largest value ln K: the mean entropy of one target, and
    the entropy of the mean target.

    Equal ones mean that all images get the same target, so that nothing is left to learn: a collapse.
    """
    flat = targets.flatten(0, -2)
    own, together = (-(p * p.clamp(min=1e-12).log()).sum(dim=-1).mean() for p in (flat, flat.mean(dim=0)))
    return own.item() / math.log(flat.shape[1]), together.item() / math.log(flat.shape[1])
