"""Attention in shifted windows, made of vit's attention; grids are square.

Liu et al. 2021, "Swin Transformer: Hierarchical Vision Transformer using Shifted Windows", sections 3.2 and 3.3.
Parameters are named as in timm.
"""

import torch
from torch import Tensor, nn

from vit.models.vision_transformer import Attention


def windows(x: Tensor, grid: int, side: int) -> Tensor:
    """Tokens of a grid, row by row, to those of each window: (B, grid * grid, D) to (B, windows, side * side, D)."""
    B, _, D = x.shape
    x = x.reshape(B, grid // side, side, grid // side, side, D).transpose(2, 3)
    return x.reshape(B, -1, side * side, D)


def merged(x: Tensor, grid: int, side: int) -> Tensor:
    """The inverse of `windows`."""
    B, _, _, D = x.shape
    x = x.reshape(B, grid // side, grid // side, side, side, D).transpose(2, 3)
    return x.reshape(B, grid * grid, D)


def rolled(x: Tensor, grid: int, shift: int) -> Tensor:
    """Move the grid of (B, grid * grid, D) up and left by `shift`; what leaves at one edge enters at the other."""
    return x.reshape(len(x), grid, grid, -1).roll((-shift, -shift), dims=(1, 2)).reshape(x.shape)


def same_side(grid: int, side: int, shift: int) -> Tensor:
    """Which tokens of a rolled window were neighbours before the roll: bool (windows, side * side, side * side).

    A window at the edge also holds tokens that entered from the other edge of the image.
    """
    entered = torch.arange(grid) >= grid - shift
    region = 2 * entered[:, None].long() + entered  # (grid, grid): whether by row, by column, by both
    region = windows(region.reshape(1, -1, 1), grid, side)[0, ..., 0]
    return region[:, :, None] == region[:, None, :]


class WindowAttention(Attention):
    """Attention within windows of `side` x `side` tokens that are moved by `shift`, (B, N, D) -> (B, N, D).

    Scores get a learned bias by head and relative position.
    """

    apart: Tensor
    allowed: Tensor

    def __init__(self, dim: int, num_heads: int, grid: int, side: int, shift: int):
        super().__init__(dim, num_heads, qkv_bias=True, attn_drop=0.0, proj_drop=0.0)
        self.grid, self.side, self.shift = grid, side, shift
        table = torch.empty((2 * side - 1) ** 2, num_heads)
        self.relative_position_bias_table = nn.Parameter(nn.init.trunc_normal_(table, std=0.02))
        place = torch.cartesian_prod(torch.arange(side), torch.arange(side))
        rows, columns = (place[:, None] - place + side - 1).unbind(-1)  # each (side * side, side * side), from 0
        self.register_buffer("apart", rows * (2 * side - 1) + columns, persistent=False)
        self.register_buffer("allowed", same_side(grid, side, shift), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        weights, v = self._weights(x)
        mixed = (weights @ v).transpose(2, 3).flatten(3)  # (B, windows, side * side, D)
        return self.proj(rolled(merged(mixed, self.grid, self.side), self.grid, -self.shift))

    def _weights(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Attention (B, windows, heads, side * side, side * side) and values (B, windows, heads, side * side, d)."""
        x = windows(rolled(x, self.grid, self.shift), self.grid, self.side)
        qkv = self.qkv(x).reshape(*x.shape[:3], 3, self.num_heads, self.head_dim)
        q, k, v = (one.transpose(2, 3) for one in qkv.unbind(3))
        bias = self.relative_position_bias_table[self.apart].permute(2, 0, 1)  # (heads, side * side, side * side)
        bias = bias.masked_fill(~self.allowed[:, None], float("-inf"))  # (windows, heads, side * side, side * side)
        return ((q * self.head_dim**-0.5) @ k.transpose(-2, -1) + bias).softmax(dim=-1), v

    @torch.no_grad()
    def attention_map(self, x: Tensor) -> Tensor:
        """Attention between all tokens of the grid, zero outside the windows: (B, heads, N, N)."""
        B, N, _ = x.shape
        weights, _ = self._weights(x)
        number = rolled(torch.arange(N).reshape(1, N, 1), self.grid, self.shift)
        full = x.new_zeros(B, self.num_heads, N, N)
        for window, tokens in enumerate(windows(number, self.grid, self.side)[0, ..., 0]):
            full[:, :, tokens[:, None], tokens] = weights[:, window]
        return full
