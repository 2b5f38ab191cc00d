"""Optional ways from an image to tokens, beside the plain patches of vit/model.py."""

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn


def conv_norm_relu(in_chans: int, out_chans: int, stride: int) -> nn.Sequential:
    """A 3x3 convolution, batch norm and ReLU: (B, C, H, W) to (B, out_chans, H / stride, W / stride), rounded up."""
    conv = nn.Conv2d(in_chans, out_chans, kernel_size=3, stride=stride, padding=1, bias=False)  # the norm has one
    return nn.Sequential(conv, nn.BatchNorm2d(out_chans), nn.ReLU(inplace=True))


class ConvStem(nn.Module):
    """Halve (B, C, H, W) by 3x3 convolutions until a place stands for a patch: (B, N, D), N = H/P * W/P, row by row.

    P is a power of 2, from 2 on. Widths double up to D; a 1x1 convolution comes last. In training batch norm lets an
    image's tokens depend on its batch. Xiao et al. 2021, "Early Convolutions Help Transformers See Better", section 4.
    """

    def __init__(self, patch_size: int, in_chans: int, embed_dim: int):
        super().__init__()
        halvings = patch_size.bit_length() - 1
        widths = [in_chans, *(embed_dim // 2**left for left in reversed(range(halvings)))]
        self.convs = nn.Sequential(*(conv_norm_relu(*pair, stride=2) for pair in pairwise(widths)))
        self.proj = nn.Conv2d(embed_dim, embed_dim, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.convs(x).flatten(2).transpose(1, 2)  # (B, N, D)
        return F.linear(x, self.proj.weight.flatten(1), self.proj.bias)
