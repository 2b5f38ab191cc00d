"""A Diffusion Transformer of vit's parts, trained by flow matching, that draws images of a class from noise.

Peebles and Xie 2023 (DiT), section 3.2; Lipman et al. 2023 (flow matching); Ho and Salimans 2022 (guidance).
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from learn.training import recipe
from vit.models.mlps import Mlp
from vit.models.vision_transformer import Block, PatchEmbed, sincos2d
from vit.training.muon import StackedMuon
from vit.training.optim import learning_rate

CLASSES = 10
NO_CLASS = CLASSES  # the label of an image whose class is withheld
BATCH, HEADS, GRID, P = 64, 4, 4, 2  # GRID: patches per side of an image; P: pixels per side of a patch
Velocity = Callable[[Tensor, Tensor, Tensor], Tensor]  # images (B, 1, 8, 8), times (B,), labels (B,) -> (B, 1, 8, 8)


class DiTBlock(nn.Module):
    """A block whose norms are scaled and shifted by the condition c (B, D): (B, N, D) -> (B, N, D).

    With `zero`, c also scales what attention and MLP add, and these gates start at 0: a fresh block changes nothing.
    """

    def __init__(self, dim: int, zero: bool):
        super().__init__()
        parts = new_block(dim, affine=False)
        self.norm1, self.attn, self.norm2, self.mlp = parts.norm1, parts.attn, parts.norm2, parts.mlp
        self.modulation = zero_(nn.Linear(dim, (6 if zero else 4) * dim))

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        shift1, scale1, shift2, scale2, *gates = self.modulation(nn.functional.silu(c))[:, None].split(
            x.shape[-1], dim=-1
        )
        gate1, gate2 = gates or (1.0, 1.0)
        x = x + gate1 * self.attn(self.norm1(x) * (1 + scale1) + shift1)
        return x + gate2 * self.mlp(self.norm2(x) * (1 + scale2) + shift2)


class DiT(nn.Module):
    """The velocity at noised images (B, 1, 8, 8), times (B,) in [0, 1] and labels (B,), NO_CLASS among them.

    `conditioning` is adaLN-Zero, adaLN, or in-context: time and class as two more tokens of plain blocks.
    """

    def __init__(self, conditioning: str = "adaLN-Zero", dim: int = 64, depth: int = 3):
        super().__init__()
        self.in_context = conditioning == "in-context"
        self.patch_embed = PatchEmbed(P, in_chans=1, embed_dim=dim)
        self.register_buffer("pos_embed", sincos2d((GRID, GRID), dim), persistent=False)
        self.time_embed = Mlp(dim, dim, nn.SiLU, 0.0)
        self.class_embed = nn.Embedding(CLASSES + 1, dim)
        new = partial(new_block, affine=True) if self.in_context else partial(DiTBlock, zero=conditioning != "adaLN")
        self.blocks = nn.ModuleList(new(dim) for _ in range(depth))
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.head = zero_(nn.Linear(dim, P**2))

    def forward(self, x: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        time, label = self.time_embed(waves(t, self.head.in_features)), self.class_embed(labels)  # each (B, D)
        x = self.patch_embed(x) + self.pos_embed  # (B, N, D)
        if self.in_context:
            x = torch.cat([time[:, None], label[:, None], x], dim=1)
        for block in self.blocks:
            x = block(x) if self.in_context else block(x, time + label)
        return self._unpatchified(self.head(self.norm(x[:, -(GRID**2) :])))

    def _unpatchified(self, x: Tensor) -> Tensor:
        """(B, N, P*P) to (B, 1, H, W)."""
        return x.reshape(-1, GRID, GRID, P, P).transpose(2, 3).reshape(-1, 1, GRID * P, GRID * P)


def new_block(dim: int, affine: bool) -> Block:
    """vit's block with an MLP of twice the width; `affine`: its norms have a learned factor and bias per feature."""
    norm = partial(nn.LayerNorm, eps=1e-6, elementwise_affine=affine)
    mlp = partial(Mlp, dim, 2 * dim, nn.GELU, 0.0)
    return Block(dim, HEADS, True, norm, mlp, None, 0.0, 0.0, 0.0)


def zero_(linear: nn.Linear) -> nn.Linear:
    """The layer, made to give 0."""
    for parameter in linear.parameters():
        nn.init.zeros_(parameter)
    return linear


def waves(t: Tensor, dim: int) -> Tensor:
    """Times (B,) in [0, 1] as sines and cosines of dim/2 frequencies, (B, D)."""
    angles = 1000 * t[:, None] * 10000 ** -torch.linspace(0, 1, dim // 2)
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def noised(x: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """The point at time t (B,) on the straight line from the images (t = 0) to the noise (t = 1)."""
    t = t[:, None, None, None]
    return (1 - t) * x + t * noise


def flow_loss(velocity: Velocity, x: Tensor, labels: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """Mean squared error of the velocity along that line, which is noise - x at every t."""
    return nn.functional.mse_loss(velocity(noised(x, noise, t), t, labels), noise - x)


def fit_flow(
    model: DiT, x: Tensor, labels: Tensor, steps: int, seed: int = 0, watch: Callable[[int], None] = lambda step: None
) -> list[float]:
    """Train with the class of every tenth image withheld; the loss of each step. `watch`: see learn.training.fit."""
    train = recipe(lr=1e-2, min_lr=0.0, epochs=1, warmup_epochs=0.05)
    matrices = {name: one for name, one in model.blocks.named_parameters() if one.ndim == 2 and "modul" not in name}
    others = [one for name, one in model.named_parameters() if name.removeprefix("blocks.") not in matrices]
    by_adamw = torch.optim.AdamW(others, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
    optimizers = [StackedMuon(matrices.values(), train.lr, weight_decay=0.01), by_adamw]
    losses, random = list[float](), torch.Generator().manual_seed(seed)
    for step in range(steps):
        watch(step)
        chosen = torch.randint(len(x), (BATCH,), generator=random)
        known = labels[chosen].masked_fill(torch.rand(BATCH, generator=random) < 0.1, NO_CLASS)
        t, noise = torch.rand(BATCH, generator=random), torch.randn(BATCH, *x.shape[1:], generator=random)
        loss = flow_loss(model, x[chosen], known, t, noise)
        model.zero_grad()
        loss.backward()
        for optimizer in optimizers:
            optimizer.param_groups[0]["lr"] = learning_rate(step, steps, train)
            optimizer.step()
        losses.append(loss.item())
    watch(steps)
    return losses


@torch.no_grad()
def sample(velocity: Velocity, noise: Tensor, labels: Tensor, guidance: float = 1.0, steps: int = 40) -> Tensor:
    """Follow the velocity from noise (B, 1, H, W) to images in Euler steps: the whole path, (steps + 1, B, 1, H, W).

    `guidance` 1 follows the class; more goes further away from what is drawn when no class is named.
    """
    path = [noise]
    for step in range(steps):
        x, t = path[-1], torch.full((len(noise),), 1 - step / steps)
        v = velocity(x, t, labels)
        if guidance != 1:
            free = velocity(x, t, torch.full_like(labels, NO_CLASS))
            v = free + guidance * (v - free)
        path.append(x - v / steps)
    return torch.stack(path)
