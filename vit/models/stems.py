"""Optional ways from an image to tokens, beside the plain patches of vit/models/vision_transformer.py."""

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
    """3x3 convolutions of `widths` channels, the last of them pooled until a place stands for a patch, then a 1x1 one:
    (B, C, H, W) to (B, N, D), N = H/P * W/P, row by row.

    P is a power of 2, and there are at least log2(P) widths. In training batch norm lets an image's tokens depend on
    its batch. Hassani et al. 2021, "Escaping the Big Data Paradigm with Compact Transformers", section 3.2, with batch
    norm as in Xiao et al. 2021, "Early Convolutions Help Transformers See Better".
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
    """A 3x3 convolution, batch norm, pooling if it `pools`, and ReLU, which commutes with it and so has less to do."""
    conv = nn.Conv2d(in_chans, out_chans, kernel_size=3, padding=1, bias=False)  # the norm has one
    pooling = MaxPool2x2() if pools else nn.Identity()
    return nn.Sequential(conv, nn.BatchNorm2d(out_chans), pooling, nn.ReLU(inplace=True))
