"""Optional ways from an image to tokens, beside the plain patches of vit/model.py."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class MaxPool2x2(nn.Module):
    """The largest of each 2x2 places: (B, C, H, W), of even sides, to (B, C, H/2, W/2)."""

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(x, 2) if x.device.type == "cpu" else repeatable_max_pool(x)


def repeatable_max_pool(x: Tensor) -> Tensor:
    """What `F.max_pool2d(x, 2)` gives, whose kernel on CUDA adds gradients up in any order; slow on a CPU."""
    rows = torch.maximum(x[..., ::2, :], x[..., 1::2, :])
    return torch.maximum(rows[..., ::2], rows[..., 1::2])


class ConvStem(nn.Module):
    """Halve (B, C, H, W) by convolution and pooling until a place stands for a patch: (B, N, D), N = H/P * W/P, row by
    row.

    P is a power of 2, from 2 on. Widths double up to D; a 1x1 convolution comes last. In training batch norm lets an
    image's tokens depend on its batch. Hassani et al. 2021, "Escaping the Big Data Paradigm with Compact Transformers",
    section 3.2, with batch norm after Xiao et al. 2021, "Early Convolutions Help Transformers See Better".
    """

    def __init__(self, patch_size: int, in_chans: int, embed_dim: int):
        super().__init__()
        halvings = patch_size.bit_length() - 1
        widths = [in_chans, *(embed_dim // 2**left for left in reversed(range(halvings)))]
        self.convs = nn.Sequential(*(_conv_and_pool(*pair) for pair in pairwise(widths)))
        self.proj = nn.Conv2d(embed_dim, embed_dim, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.convs(x).flatten(2).transpose(1, 2)  # (B, N, D)
        return F.linear(x, self.proj.weight.flatten(1), self.proj.bias)


def _conv_and_pool(in_chans: int, out_chans: int) -> nn.Sequential:
    """A 3x3 convolution, batch norm, pooling, ReLU, which commutes with the pooling and so has a quarter to do."""
    conv = nn.Conv2d(in_chans, out_chans, kernel_size=3, padding=1, bias=False)  # the norm has one
    return nn.Sequential(conv, nn.BatchNorm2d(out_chans), MaxPool2x2(), nn.ReLU(inplace=True))
