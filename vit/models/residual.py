"""What a block may do to its residual branches."""

import torch
from torch import Tensor, nn


class DropPath(nn.Module):
    """Drop a residual branch per sample (stochastic depth; Huang et al. 2016), (B, N, D) -> (B, N, D)."""

    def __init__(self, drop_prob: float):
        super().__init__()
        self.drop_prob = drop_prob

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        keep = 1 - self.drop_prob
        return x * x.new_empty(x.shape[0], 1, 1).bernoulli_(keep) / keep


class LayerScale(nn.Module):
    """Scale each feature of a residual branch (Touvron et al. 2021, "Going deeper with Image Transformers")."""

    def __init__(self, dim: int, init_values: float):
        super().__init__()
        self.gamma = nn.Parameter(torch.full((dim,), init_values))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma
