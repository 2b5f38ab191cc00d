"""A Vision Transformer as tutorials write it: what a person has who follows one, and a peer of the benchmark."""

import torch
from torch import Tensor, nn


class PatchEmbedding(nn.Module):
    """Images (B, C, H, W) to tokens (B, 1 + N, D): patches by a strided convolution, a class token, positions."""

    def __init__(self, image_size: int, patch_size: int, channels: int, dim: int):
        super().__init__()
        self.patcher = nn.Conv2d(channels, dim, kernel_size=patch_size, stride=patch_size)
        self.class_token = nn.Parameter(torch.randn(1, 1, dim) * 0.02)
        self.positions = nn.Parameter(torch.randn(1, 1 + (image_size // patch_size) ** 2, dim) * 0.02)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patcher(x).flatten(2).transpose(1, 2)  # (B, N, D)
        x = torch.cat([self.class_token.repeat(x.shape[0], 1, 1), x], dim=1)
        return x + self.positions


class EncoderBlock(nn.Module):
    """Self-attention, then an MLP, each behind a norm and beside a residual, (B, N, D) -> (B, N, D)."""

    def __init__(self, dim: int, heads: int, mlp_dim: int):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attention = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, mlp_dim), nn.GELU(), nn.Linear(mlp_dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        normed = self.norm1(x)
        attended, _ = self.attention(normed, normed, normed)
        x = x + attended
        return x + self.mlp(self.norm2(x))


class TutorialViT(nn.Module):
    """Square images (B, C, H, W) to class logits (B, classes), read from the class token."""

    def __init__(
        self,
        image_size: int,
        patch_size: int,
        channels: int,
        classes: int,
        dim: int,
        depth: int,
        heads: int,
        mlp_dim: int,
    ):
        super().__init__()
        self.embedding = PatchEmbedding(image_size, patch_size, channels, dim)
        self.encoder = nn.Sequential(*(EncoderBlock(dim, heads, mlp_dim) for _ in range(depth)))
        self.norm = nn.LayerNorm(dim)
        self.classifier = nn.Linear(dim, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.encoder(self.embedding(x))
        return self.classifier(self.norm(x[:, 0]))
