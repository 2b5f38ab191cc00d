"""Masked autoencoding: the encoder sees a few patches of an image, a small decoder predicts the pixels of the others.

He et al. 2021, "Masked Autoencoders Are Scalable Vision Learners", section 3.
"""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vit.models.mlps import Mlp
from vit.models.vision_transformer import Block, VisionTransformer, sincos2d

HEADS = 4  # of the decoder


class MaskedAutoencoder(nn.Module):
    """`encoder`, whose patch embedding must not mix patches, and the decoder that trains it.

    `grid` is the number of patches (rows, columns), `patch_size` their side in pixels, `mask_ratio` the share of them
    that is hidden, `dim` and `depth` the decoder's width and number of blocks.
    """

    def __init__(
        self,
        encoder: VisionTransformer,
        grid: tuple[int, int],
        patch_size: int,
        channels: int,
        mask_ratio: float,
        dim: int,
        depth: int,
    ):
        super().__init__()
        self.encoder = encoder
        self.patch_size = patch_size
        self.patches = grid[0] * grid[1]
        self.visible = round(self.patches * (1 - mask_ratio))
        norm, mlp = partial(nn.LayerNorm, eps=1e-6), partial(Mlp, dim, 4 * dim, nn.GELU, 0.0)
        self.embed = nn.Linear(encoder.head.in_features, dim)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.register_buffer("positions", sincos2d(grid, dim), persistent=False)
        self.blocks = nn.Sequential(*(Block(dim, HEADS, True, norm, mlp, None, 0.0, 0.0, 0.0) for _ in range(depth)))
        self.norm = nn.LayerNorm(dim)
        self.predict = nn.Linear(dim, channels * self.patch_size**2)

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """The loss on images (B, C, H, W): the mean squared error of the hidden patches' normalized pixels.

        `noise` (B, N) in [0, 1) draws the patches: of each image, those with the lowest values stay visible.
        """
        visible, hidden = self.choose(noise)
        predicted = self.decode(self.encode(x, visible), visible, hidden)
        return F.mse_loss(predicted.float(), self.target(x, hidden))

    def choose(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """The positions of visible (B, V) and of hidden patches (B, N - V)."""
        order = noise.argsort(dim=1, stable=True)
        return order[:, : self.visible], order[:, self.visible :]

    def encode(self, x: Tensor, visible: Tensor) -> Tensor:
        """Images (B, C, H, W) to the tokens of what is visible, behind class and register tokens: (B, prefix + V, D).

        Hidden patches are dropped before the first block, so that no other token depends on them.
        """
        encoder = self.encoder
        tokens = encoder.embed(x)  # (B, prefix + N, D)
        prefix, patches = tokens[:, : encoder.prefix], tokens[:, encoder.prefix :]
        tokens = torch.cat([prefix, _pick(patches, visible)], dim=1)
        return encoder.fc_norm(encoder.norm(encoder.blocks(encoder.norm_pre(encoder.pos_drop(tokens)))))

    def decode(self, seen: Tensor, visible: Tensor, hidden: Tensor) -> Tensor:
        """The predicted pixels of the hidden patches, (B, N - V, C * P * P)."""
        prefix = seen.shape[1] - self.visible
        tokens = self.embed(seen)
        masks = self.mask_token.to(tokens.dtype).expand(len(seen), hidden.shape[1], -1)
        positions = F.pad(self.positions[torch.cat([visible, hidden], dim=1)], (0, 0, prefix, 0))
        tokens = self.blocks(torch.cat([tokens, masks], dim=1) + positions)
        return self.predict(self.norm(tokens))[:, prefix + self.visible :]

    def target(self, x: Tensor, hidden: Tensor) -> Tensor:
        """The pixels of the hidden patches, each patch with zero mean and unit variance, (B, N - V, C * P * P)."""
        patches = F.unfold(x, self.patch_size, stride=self.patch_size).transpose(1, 2)  # (B, N, C * P * P)
        target = _pick(patches, hidden)
        return (target - target.mean(-1, keepdim=True)) / (target.var(-1, keepdim=True) + 1e-6).sqrt()


def _pick(tokens: Tensor, at: Tensor) -> Tensor:
    """The tokens (B, K, D) of (B, N, D) at the positions (B, K)."""
    return tokens.gather(1, at[:, :, None].expand(-1, -1, tokens.shape[2]))
