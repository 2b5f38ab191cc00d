"""A mask for a click, a box or a word: an image encoder and a promptable mask decoder.

After Kirillov et al. 2023, "Segment Anything", section 3 and appendix A, with one mask per prompt and no score for it.
"""

from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from learn.drawings import SIZE, Drawing
from learn.prompts import KINDS, WITH_PLACE, Prompt, prompts_for
from learn.stepping import descend
from vit.models.mlps import Mlp
from vit.models.vision_transformer import Attention, Block, PatchEmbed

PATCH = 4  # pixels
GRID = SIZE // PATCH
CHANNELS = 16  # of a pixel, when a patch token is unfolded to its pixels


def sinusoids(places: Tensor, dim: int) -> Tensor:
    """Rows and columns (..., 2), counted in patches, to (..., dim): what sincos2d gives, also between the patches."""
    frequency = 10000 ** -torch.linspace(0, 1, dim // 4 + 1)[:-1]
    angles = places[..., None] * frequency  # (..., 2, dim / 4)
    return torch.stack([angles.sin(), angles.cos()], dim=-2).flatten(-3)


class CrossAttention(Attention):
    """Attention with queries from `x` (B, N, D), and keys and values from `context` (B, M, D), or without it `x`."""

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        D, context = x.shape[-1], x if context is None else context
        q = F.linear(x, self.qkv.weight[:D], self.qkv.bias[:D])
        k, v = F.linear(context, self.qkv.weight[D:], self.qkv.bias[D:]).chunk(2, dim=-1)
        q, k, v = (one.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for one in (q, k, v))
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class TwoWay(nn.Module):
    """The prompt reads itself and the image, then the image reads the prompt."""

    def __init__(self, dim: int, num_heads: int):
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(6))
        self.itself = Attention(dim, num_heads, True, 0.0, 0.0)
        self.to_image = CrossAttention(dim, num_heads, True, 0.0, 0.0)
        self.mlp = Mlp(dim, 2 * dim, nn.GELU, 0.0)
        self.to_prompt = CrossAttention(dim, num_heads, True, 0.0, 0.0)

    def forward(self, tokens: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        own, reads, seen, thinks, answers, read = self.norms
        tokens = tokens + self.itself(own(tokens))
        tokens = tokens + self.to_image(reads(tokens), seen(image))
        tokens = tokens + self.mlp(thinks(tokens))
        return tokens, image + self.to_prompt(answers(image), read(tokens))


class Pointer(nn.Module):
    """`encode` an image once, then `decode` a mask for each prompt."""

    def __init__(self, dim: int = 64, depth: int = 3, num_heads: int = 4):
        super().__init__()
        norm, mlp = partial(nn.LayerNorm, eps=1e-6), partial(Mlp, dim, 2 * dim, nn.GELU, 0.0)
        self.patch_embed = PatchEmbed(PATCH, 3, dim)
        self.blocks = nn.Sequential(*(Block(dim, num_heads, True, norm, mlp, None, 0, 0, 0) for _ in range(depth)))
        self.norm = norm(dim)
        self.kind = nn.Embedding(len(KINDS), dim)
        self.mask_token = nn.Parameter(torch.randn(1, 1, dim) * 0.02)
        self.decoder_blocks = nn.ModuleList(TwoWay(dim, num_heads) for _ in range(2))
        self.upscale = nn.Linear(dim, PATCH * PATCH * CHANNELS)
        self.to_weights = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, CHANNELS))
        grid = torch.cartesian_prod(torch.arange(GRID), torch.arange(GRID))
        self.register_buffer("places", sinusoids(grid.float(), dim), persistent=False)

    def encode(self, images: Tensor) -> Tensor:
        """uint8 images (B, 3, 32, 32) to tokens (B, 64, D)."""
        return self.norm(self.blocks(self.patch_embed(images / 127.5 - 1) + self.places))

    def prompt_tokens(self, prompts: Sequence[Prompt]) -> Tensor:
        """(B, 2, D): what each token of a prompt is, plus where it is, on the same scale as the patches."""
        kinds, places = (torch.stack(parts) for parts in zip(*prompts, strict=True))
        where = sinusoids((places + 0.5) / PATCH - 0.5, self.kind.embedding_dim)
        return self.kind(kinds) + where * (kinds < WITH_PLACE)[..., None]

    def decode(self, image: Tensor, prompts: Sequence[Prompt]) -> Tensor:
        """Mask logits (B, 32, 32) of image tokens (B, 64, D), one prompt each."""
        tokens = torch.cat([self.mask_token.expand(len(prompts), -1, -1), self.prompt_tokens(prompts)], dim=1)
        image = image + self.places
        for block in self.decoder_blocks:
            tokens, image = block(tokens, image)
        pixels = self.upscale(image).view(len(image), -1, CHANNELS)  # (B, 64 * 16, C)
        logits = pixels @ self.to_weights(tokens[:, 0])[..., None]  # (B, 64 * 16, 1)
        return logits.view(-1, GRID, GRID, PATCH, PATCH).transpose(2, 3).reshape(-1, SIZE, SIZE)

    def forward(self, images: Tensor, prompts: Sequence[Prompt]) -> Tensor:
        return self.decode(self.encode(images), prompts)


def ious(logits: Tensor, masks: Tensor) -> Tensor:
    """Intersection over union of predicted and true masks, (B,): 1 if they are equal, 0 if they do not touch."""
    predicted, masks = logits > 0, masks.bool()
    return (predicted & masks).sum(dim=(1, 2)) / (predicted | masks).sum(dim=(1, 2)).clamp(min=1)


def mask_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Cross-entropy of the pixels plus the dice loss, which counts a small mask as much as a large one."""
    masks, shares = masks.float(), logits.sigmoid()
    overlap = 2 * (shares * masks).sum(dim=(1, 2)) / (shares + masks).sum(dim=(1, 2))
    return F.binary_cross_entropy_with_logits(logits, masks) + (1 - overlap).mean()


def fit_pointer(drawn: Sequence[Drawing], steps: int, batch_size: int = 32) -> Pointer:
    """A Pointer trained on random drawings; each is encoded once and asked with each kind of prompt."""
    torch.manual_seed(0)
    pointer = Pointer()

    def of_batch(step: int) -> Tensor:
        of_image, prompts, masks = [], [], []
        chosen = torch.randint(len(drawn), (batch_size,)).tolist()
        for number, one in enumerate(chosen):
            index = int(torch.randint(2, ()))
            asked = list(prompts_for(drawn[one], index).values())
            of_image += [number] * len(asked)
            prompts += asked
            masks += [drawn[one].masks[index]] * len(asked)
        tokens = pointer.encode(torch.stack([drawn[one].image for one in chosen]))
        return mask_loss(pointer.decode(tokens[of_image], prompts), torch.stack(masks))

    descend(pointer, of_batch, steps)
    return pointer
