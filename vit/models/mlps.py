"""The MLPs of a transformer block, (B, N, D) -> (B, N, D), and their activations."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn


class QuickGELU(nn.Module):
    """x * sigmoid(1.702 x), the approximation that OpenAI's CLIP was trained with."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


class Mlp(nn.Module):
    """Two linear layers with an activation between."""

    def __init__(self, dim: int, hidden_dim: int, act: Callable[[], nn.Module], drop: float):
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden_dim)
        self.act: nn.Module = act()  # replaced when serving in bfloat16
        self.fc2 = nn.Linear(hidden_dim, dim)
        self.drop = nn.Dropout(drop)

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(self.fc2(self.drop(self.act(self.fc1(x)))))


class SwiGLU(nn.Module):
    """The first half of `fc1`, through SiLU, gates the second; `fc2` takes hidden_dim / 2 features.

    Shazeer 2020, "GLU Variants Improve Transformer"; packed as in timm's SwiGLUPacked. It has its own activation.
    """

    def __init__(self, dim: int, hidden_dim: int, act: Callable[[], nn.Module], drop: float):
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden_dim)
        self.act = nn.SiLU()
        self.fc2 = nn.Linear(hidden_dim // 2, dim)
        self.drop = nn.Dropout(drop)

    def forward(self, x: Tensor) -> Tensor:
        gate, x = self.fc1(x).chunk(2, dim=-1)  # each (B, N, hidden_dim / 2)
        return self.drop(self.fc2(self.drop(self.act(gate) * x)))


ACTIVATIONS = {"gelu": nn.GELU, "gelu_tanh": partial(nn.GELU, approximate="tanh"), "quick_gelu": QuickGELU}
MLPS = {"mlp": Mlp, "swiglu": SwiGLU}
