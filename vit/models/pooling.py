"""Pooling by attention, as SigLIP's image towers do it."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class AttentionPool(nn.Module):
    """One learned query attends to all tokens, then an MLP with a residual connection: (B, N, D) -> (B, D).

    Lee et al. 2019, "Set Transformer", section 3.2, as in Zhai et al. 2022, "Scaling Vision Transformers"; timm's
    AttentionPoolLatent.
    """

    def __init__(self, dim: int, num_heads: int, norm: Callable[[int], nn.Module], mlp: Callable[[], nn.Module]):
        super().__init__()
        self.num_heads = num_heads
        self.latent = nn.Parameter(torch.empty(1, 1, dim))
        nn.init.trunc_normal_(self.latent, std=dim**-0.5)
        self.q = nn.Linear(dim, dim)
        self.kv = nn.Linear(dim, 2 * dim)
        self.proj = nn.Linear(dim, dim)
        self.norm = norm(dim)
        self.mlp = mlp()

    def forward(self, x: Tensor) -> Tensor:
        B, N, D = x.shape
        q = self.q(self.latent.expand(B, -1, -1)).reshape(B, 1, self.num_heads, -1).transpose(1, 2)
        k, v = (
            self.kv(x).reshape(B, N, 2, self.num_heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        )  # (B, heads, N, D/heads)
        x = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(B, D)
        x = self.proj(x)
        return x + self.mlp(self.norm(x))
