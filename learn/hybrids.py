"""Swin and ConvNeXt in a screen each, made of vit's parts, on the same stages; images are square.

Liu et al. 2021, "Swin Transformer: Hierarchical Vision Transformer using Shifted Windows", section 3, and Liu et al.
2022, "A ConvNet for the 2020s", section 2. Parameters of both blocks are named as in timm.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from learn.windows import WindowAttention
from vit.models.mlps import Mlp
from vit.models.residual import LayerScale
from vit.models.vision_transformer import Block, PatchEmbed, sincos2d

HEAD_DIM = 32


def vit_block(dim: int, grid: int, number: int, head_dim: int = HEAD_DIM) -> Block:
    """The block of a ViT, number `number` of its stage: every token attends to the whole grid."""
    mlp = partial(Mlp, dim, 4 * dim, nn.GELU, 0.0)
    return Block(dim, dim // head_dim, True, nn.LayerNorm, mlp, None, 0.0, 0.0, 0.0)


def swin_block(
    dim: int, grid: int, number: int, head_dim: int = HEAD_DIM, largest: int = 8, shifts: bool = True
) -> Block:
    """A ViT's block with attention in windows; every second one shifts them by half a window.

    A window has the largest side up to `largest` that divides the grid. One that is the whole grid does not move.
    """
    side = max(side for side in range(1, largest + 1) if grid % side == 0)
    block = vit_block(dim, grid, number, head_dim)
    shift = side // 2 if shifts and number % 2 and side < grid else 0
    block.attn = WindowAttention(dim, dim // head_dim, grid, side, shift)
    return block


class ConvNeXtBlock(nn.Module):
    """A 7x7 convolution of each channel alone, a norm and an MLP in one residual branch, (B, N, D) -> (B, N, D)."""

    def __init__(self, dim: int, grid: int, number: int, init_values: float = 1e-6):
        super().__init__()
        self.grid = grid
        self.conv_dw = nn.Conv2d(dim, dim, kernel_size=7, padding=3, groups=dim)
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = Mlp(dim, 4 * dim, nn.GELU, 0.0)
        self.ls = LayerScale(dim, init_values)

    def forward(self, x: Tensor) -> Tensor:
        mixed = self.conv_dw(as_map(x, self.grid)).flatten(2).transpose(1, 2)
        return x + self.ls(self.mlp(self.norm(mixed)))


def as_map(x: Tensor, grid: int) -> Tensor:
    """Tokens (B, grid * grid, D) to a map (B, D, grid, grid)."""
    return x.transpose(1, 2).reshape(len(x), -1, grid, grid)


class Downsample(nn.Module):
    """A norm, then one token for each 2x2, (B, N, dim) -> (B, N / 4, out): a patch embedding of the grid."""

    def __init__(self, dim: int, out: int, grid: int):
        super().__init__()
        self.grid, self.norm, self.patch_embed = grid, nn.LayerNorm(dim, eps=1e-6), PatchEmbed(2, dim, out)

    def forward(self, x: Tensor) -> Tensor:
        return self.patch_embed(as_map(self.norm(x), self.grid))


class Staged(nn.Module):
    """Normalized images (B, C, side, side) to logits (B, num_classes), in stages of `depths` blocks of `widths`.

    `new_block(dim, grid, number)` makes a block. `positions` adds a ViT's position embedding to the first tokens.
    """

    positions: Tensor

    def __init__(
        self,
        new_block: Callable[[int, int, int], nn.Module],
        side: int,
        patch_size: int = 4,
        in_chans: int = 3,
        num_classes: int = 1000,
        widths: Sequence[int] = (96, 192, 384, 768),
        depths: Sequence[int] = (2, 2, 6, 2),
        positions: bool = False,
    ):
        super().__init__()
        grid = side // patch_size
        self.stem = nn.Sequential(PatchEmbed(patch_size, in_chans, widths[0]), nn.LayerNorm(widths[0], eps=1e-6))
        table = sincos2d((grid, grid), widths[0]) if positions else torch.zeros(grid * grid, widths[0])
        self.register_buffer("positions", table, persistent=False)
        self.stages = nn.Sequential()
        for index, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            smaller = [Downsample(widths[index - 1], width, grid)] if index else []
            grid //= 2 if index else 1
            self.stages.append(nn.Sequential(*smaller, *(new_block(width, grid, number) for number in range(depth))))
        self.norm, self.head = nn.LayerNorm(widths[-1], eps=1e-6), nn.Linear(widths[-1], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.stages(self.stem(x) + self.positions).mean(dim=1)))
