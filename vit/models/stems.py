"""Alternatives to the plain patch embedding of vit/models/vision_transformer.py."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class MaxPool2x2(nn.Module):
    """Max pooling over 2x2 windows: (B, C, H, W) with even sides to (B, C, H/2, W/2)."""

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(x, 2) if x.device.type == "cpu" else repeatable_max_pool(x)


def repeatable_max_pool(x: Tensor) -> Tensor:
    """`F.max_pool2d(x, 2)` with deterministic gradients on CUDA, whose kernel sums in any order; slow on a CPU."""
    rows = torch.maximum(x[..., ::2, :], x[..., 1::2, :])
    return torch.maximum(rows[..., ::2], rows[..., 1::2])


class ConvStem(nn.Module):
    """3x3 convolutions with `widths` channels, of which the last log2(P) pool, so that a position covers a patch, then
    a 1x1 convolution: (B, C, H, W) to (B, N, D), N = H/P * W/P, row by row.

    P is a power of 2, and there are at least log2(P) widths. In training, batch norm makes tokens depend on the batch.
    Hassani et al. 2021, "Escaping the Big Data Paradigm with Compact Transformers", section 3.2, with batch norm as in
    Xiao et al. 2021, "Early Convolutions Help Transformers See Better".
    """

    def __init__(self, patch_size: int, in_chans: int, embed_dim: int, widths: list[int]):
        super().__init__()
        at_full_size = len(widths) - (patch_size.bit_length() - 1)
        pairs = pairwise([in_chans, *widths])
        self.convs = nn.Sequential(*(_conv(*pair, pools=index >= at_full_size) for index, pair in enumerate(pairs)))
        self.proj = nn.Conv2d(widths[-1], embed_dim, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.convs(x).flatten(2).transpose(1, 2)  # (B, N, widths[-1])
        return F.linear(x, self.proj.weight.flatten(1), self.proj.bias)  # (B, N, D)


def _conv(in_chans: int, out_chans: int, pools: bool) -> nn.Sequential:
    """3x3 convolution, batch norm, pooling if `pools`, and ReLU, which commutes with pooling but is cheaper last."""
    conv = nn.Conv2d(in_chans, out_chans, kernel_size=3, padding=1, bias=False)  # the batch norm has one
    pooling = MaxPool2x2() if pools else nn.Identity()
    return nn.Sequential(conv, nn.BatchNorm2d(out_chans), pooling, nn.ReLU(inplace=True))
