"""The plain pre-norm Vision Transformer, with timm's module and parameter names.

Dosovitskiy et al. 2020, "An Image is Worth 16x16 Words", section 3.1 and equations 1 to 4. The variants are those of
published models, named as in timm, and off by default; vit/models/published translates their weights.
"""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vit.models.mlps import ACTIVATIONS, MLPS, Mlp
from vit.models.pooling import AttentionPool
from vit.models.residual import DropPath, LayerScale

NORMS = {"layernorm": nn.LayerNorm, "rmsnorm": nn.RMSNorm}


class PatchEmbed(nn.Module):
    """Cut (B, C, H, W) into patches and project each: (B, N, D), N = H/P * W/P, row by row.

    The weights have the shape of a convolution with kernel = stride = P, as in timm; the result is computed as one
    matrix product, which was faster on every CPU measured.
    """

    def __init__(self, patch_size: int, in_chans: int, embed_dim: int, bias: bool = True):
        super().__init__()
        self.patch_size = patch_size
        self.proj = nn.Conv2d(in_chans, embed_dim, kernel_size=patch_size, stride=patch_size, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        B, C, H, W = x.shape
        P = self.patch_size
        x = x.reshape(B, C, H // P, P, W // P, P).permute(0, 2, 4, 1, 3, 5)  # (B, H/P, W/P, C, P, P)
        x = x.reshape(B, (H // P) * (W // P), C * P * P)  # (B, N, C*P*P)
        return F.linear(x, self.proj.weight.flatten(1), self.proj.bias)  # (B, N, D)


class Attention(nn.Module):
    """Multi-head self-attention, (B, N, D) -> (B, N, D).

    With `fused_attn` it calls PyTorch's fused kernel, otherwise it computes the same formula explicitly.
    """

    def __init__(self, dim: int, num_heads: int, qkv_bias: bool, attn_drop: float, proj_drop: float):
        super().__init__()
        self.num_heads = num_heads
        self.head_dim = dim // num_heads
        self.fused_attn = True
        self.qkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)
        self.attn_drop = nn.Dropout(attn_drop)
        self.proj = nn.Linear(dim, dim)
        self.proj_drop = nn.Dropout(proj_drop)

    def forward(self, x: Tensor) -> Tensor:
        B, N, D = x.shape
        qkv = self.qkv(x).reshape(B, N, 3, self.num_heads, self.head_dim)
        q, k, v = (one.transpose(1, 2) for one in qkv.unbind(2))  # each (B, heads, N, D/heads)
        if self.fused_attn:
            x = F.scaled_dot_product_attention(q, k, v, dropout_p=self.attn_drop.p if self.training else 0.0)
        else:
            attn = (q * self.head_dim**-0.5) @ k.transpose(-2, -1)  # (B, heads, N, N)
            x = self.attn_drop(attn.softmax(dim=-1)) @ v
        x = x.transpose(1, 2).reshape(B, N, D)
        return self.proj_drop(self.proj(x))


class Block(nn.Module):
    """Attention, then MLP, each with a norm before it and a residual connection, (B, N, D) -> (B, N, D)."""

    def __init__(self, dim, num_heads, qkv_bias, norm, mlp, init_values, drop_rate, attn_drop_rate, drop_path):
        super().__init__()
        self.norm1 = norm(dim)
        self.attn = Attention(dim, num_heads, qkv_bias, attn_drop_rate, drop_rate)
        self.ls1 = LayerScale(dim, init_values) if init_values else nn.Identity()
        self.drop_path1 = DropPath(drop_path) if drop_path else nn.Identity()
        self.norm2 = norm(dim)
        self.mlp = mlp()
        self.ls2 = LayerScale(dim, init_values) if init_values else nn.Identity()
        self.drop_path2 = DropPath(drop_path) if drop_path else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop_path1(self.ls1(self.attn(self.norm1(x))))
        return x + self.drop_path2(self.ls2(self.mlp(self.norm2(x))))


class VisionTransformer(nn.Module):
    """Normalized images (B, C, H, W) to class logits (B, num_classes).

    `image_size` is (height, width) in pixels, each a multiple of `patch_size`; `pool` is cls, or avg or map (attention
    pooling) without a class token; `pos_embed` is learned, sincos2d or none; `drop_path_rate` rises linearly from 0 in
    the first block to its value in the last. `patch_embed` makes the module from images to tokens. All other settings
    are described in vit/config/model.py.

    `distilled` adds a token and a head that learn from a teacher: in training the logits are those of both heads,
    (2, B, num_classes), the labels' head first; otherwise they are the mean of both.
    Touvron et al. 2021, "Training data-efficient image transformers & distillation through attention", section 4.
    """

    cls_token: Tensor  # (1, 1, D), or (1, 0, D) if there is none
    dist_token: Tensor  # the same
    reg_token: Tensor  # (1, reg_tokens, D)
    pos_embed: Tensor  # (1, prefix + N, D), or (1, N, D) with no_embed_class

    def __init__(
        self,
        *,
        image_size: tuple[int, int] | list[int],
        in_chans: int,
        num_classes: int,
        patch_size: int,
        embed_dim: int,
        depth: int,
        num_heads: int,
        mlp_ratio: float,
        qkv_bias: bool,
        pool: str,
        pos_embed: str,
        norm: str,
        drop_rate: float,
        attn_drop_rate: float,
        drop_path_rate: float,
        norm_eps: float = 1e-6,
        act_layer: str = "gelu",
        mlp_layer: str = "mlp",
        init_values: float | None = None,
        reg_tokens: int = 0,
        no_embed_class: bool = False,
        pre_norm: bool = False,
        distilled: bool = False,
        patch_embed: Callable[[int, int, int], nn.Module] = PatchEmbed,
    ):
        super().__init__()
        grid = (image_size[0] // patch_size, image_size[1] // patch_size)
        new_norm = partial(NORMS[norm], eps=norm_eps)
        of_mlp = (embed_dim, int(embed_dim * mlp_ratio), ACTIVATIONS[act_layer], drop_rate)
        new_mlp, plain_mlp = partial(MLPS[mlp_layer], *of_mlp), partial(Mlp, *of_mlp)
        drop_paths = torch.linspace(0, drop_path_rate, depth, device="cpu").tolist()

        self.pool, self.distilled, self.no_embed_class = pool, distilled, no_embed_class
        self.prefix = (pool == "cls") + distilled + reg_tokens  # number of tokens before the patch tokens
        self.grad_checkpointing = False  # recompute blocks in the backward pass to save memory
        self.patch_embed = patch_embed(patch_size, in_chans, embed_dim)
        self._set_tokens(pos_embed, grid, embed_dim, reg_tokens)
        self.pos_drop = nn.Dropout(drop_rate)
        self.norm_pre = new_norm(embed_dim) if pre_norm else nn.Identity()
        self.blocks = nn.Sequential(
            *(
                Block(embed_dim, num_heads, qkv_bias, new_norm, new_mlp, init_values, drop_rate, attn_drop_rate, d)
                for d in drop_paths
            )
        )
        self.norm = nn.Identity() if pool == "avg" else new_norm(embed_dim)
        self.attn_pool = AttentionPool(embed_dim, num_heads, new_norm, plain_mlp) if pool == "map" else nn.Identity()
        self.fc_norm = new_norm(embed_dim) if pool == "avg" else nn.Identity()
        self.head = nn.Linear(embed_dim, num_classes)
        self.head_dist = nn.Linear(embed_dim, num_classes) if distilled else nn.Identity()
        self._init_weights()

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm_pre(self.pos_drop(self.embed(x)))
        for block in self.blocks:
            x = checkpoint(block, x, use_reentrant=False) if self.grad_checkpointing and self.training else block(x)
        x = self.norm(x)
        logits = self.head(self.fc_norm(self._pooled(x)))
        if not self.distilled:
            return logits
        both = torch.stack([logits, self.head_dist(self.fc_norm(x[:, self.dist_index]))])  # (2, B, num_classes)
        return both if self.training else both.mean(dim=0)

    @property
    def dist_index(self) -> int:
        """Where the distillation token is, if there is one."""
        return int(self.pool == "cls")

    def embed(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W) to tokens with positions, (B, prefix + N, D)."""
        x = self.patch_embed(x)  # (B, N, D)
        tokens = [one.expand(x.shape[0], -1, -1) for one in (self.cls_token, self.dist_token, self.reg_token)]
        if self.no_embed_class:
            return torch.cat([*tokens, x + self.pos_embed], dim=1)
        return torch.cat([*tokens, x], dim=1) + self.pos_embed

    def _pooled(self, x: Tensor) -> Tensor:
        """Tokens (B, prefix + N, D) to one feature vector per image, (B, D)."""
        if self.pool == "cls":
            return x[:, 0]
        patches = x[:, self.prefix :]
        return self.attn_pool(patches) if self.pool == "map" else patches.mean(dim=1)

    def _set_tokens(self, pos_embed: str, grid: tuple[int, int], dim: int, reg_tokens: int) -> None:
        counts = {"cls_token": int(self.pool == "cls"), "dist_token": int(self.distilled), "reg_token": reg_tokens}
        for name, count in counts.items():
            if count:
                self.register_parameter(name, nn.Parameter(torch.zeros(1, count, dim)))
            else:
                self.register_buffer(name, torch.zeros(1, 0, dim), persistent=False)
        prefix = 0 if self.no_embed_class else self.prefix
        if pos_embed == "learned":
            self.pos_embed = nn.Parameter(torch.zeros(1, prefix + grid[0] * grid[1], dim))
        else:
            fixed = sincos2d(grid, dim) if pos_embed == "sincos2d" else torch.zeros(grid[0] * grid[1], dim)
            self.register_buffer("pos_embed", F.pad(fixed, (0, 0, prefix, 0))[None], persistent=False)

    def _init_weights(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        tokens = (self.cls_token, 1e-6), (self.pos_embed, 0.02), (self.dist_token, 0.02), (self.reg_token, 1e-6)
        for token, std in tokens:
            if isinstance(token, nn.Parameter):
                nn.init.trunc_normal_(token, std=std)


def sincos2d(grid: tuple[int, int], dim: int) -> Tensor:
    """Fixed position embedding (H * W, D): sine and cosine of the row, then of the column, at D/4 wavelengths.

    Chen et al. 2021, "An Empirical Study of Training Self-Supervised Vision Transformers" (MoCo v3).
    """
    frequency = 10000 ** -torch.linspace(0, 1, dim // 4 + 1)[:-1]  # (D/4,)
    rows, columns = torch.meshgrid(torch.arange(grid[0]), torch.arange(grid[1]), indexing="ij")
    angles = [position.flatten()[:, None] * frequency for position in (rows, columns)]  # each (H*W, D/4)
    return torch.cat([wave(angle) for angle in angles for wave in (torch.sin, torch.cos)], dim=1)


def set_fused_attention(model: nn.Module, fused: bool) -> None:
    """Choose the attention kernel of every block; results differ only in the last bits."""
    for module in model.modules():
        if isinstance(module, Attention):
            module.fused_attn = fused
