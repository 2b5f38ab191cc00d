"""An image tower and a text tower that learn from captions, by the loss of CLIP or that of SigLIP.

Radford et al. 2021, "Learning Transferable Visual Models From Natural Language Supervision", section 2; Zhai et al.
2023, "Sigmoid Loss for Language Image Pre-Training", section 3.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from learn.drawings import COLORS, RELATIONS, SHAPES, SIZE
from learn.stepping import descend
from vit.models.mlps import Mlp
from vit.models.vision_transformer import Block, VisionTransformer

PAD = ""
WORDS = (PAD, *dict.fromkeys(["a", *COLORS, *SHAPES, *" ".join(RELATIONS).split()]))
LENGTH = 8  # of the longest caption: a red circle left of a blue circle
CAPTIONS = [  # every caption that a drawing can have; its length is that of WAYS multiplied
    f"a {color} {shape} {relation} a {other_color} {other_shape}"
    for color, shape, relation, other_color, other_shape in product(COLORS, SHAPES, RELATIONS, COLORS, SHAPES)
]
WAYS = (len(COLORS), len(SHAPES), len(RELATIONS), len(COLORS), len(SHAPES))
OPPOSITES = {"right of": "left of", "below": "above"}


def tokenize(captions: Sequence[str]) -> Tensor:
    """The number of each word, (B, 8), filled up with PAD. Raises ValueError for a word that is not in WORDS."""
    words = [caption.split() for caption in captions]
    if unknown := {word for row in words for word in row}.difference(WORDS):
        raise ValueError(f"unknown words {sorted(unknown)}; use those of learn/drawings.py")
    rows = [[WORDS.index(word) for word in row] for row in words]
    return torch.tensor([row + [0] * (LENGTH - len(row)) for row in rows])


def scene(caption: str) -> str:
    """The same for captions that say the same: "a right of b" becomes "b left of a", and "below" becomes "above"."""
    for relation, opposite in OPPOSITES.items():
        if f" {relation} " in caption:
            first, second = caption.split(f" {relation} ")
            return f"{second} {opposite} {first}"
    return caption


class TextTower(nn.Module):
    """Words (B, N) to features (B, out): the project's blocks over word tokens, and their mean, without a mask."""

    def __init__(self, dim: int, depth: int, num_heads: int, out: int):
        super().__init__()
        norm, mlp = partial(nn.LayerNorm, eps=1e-6), partial(Mlp, dim, 2 * dim, nn.GELU, 0.0)
        self.word = nn.Embedding(len(WORDS), dim)
        self.position = nn.Parameter(torch.empty(LENGTH, dim))
        self.blocks = nn.Sequential(*(Block(dim, num_heads, True, norm, mlp, None, 0, 0, 0) for _ in range(depth)))
        self.norm = norm(dim)
        self.head = nn.Linear(dim, out)
        nn.init.trunc_normal_(self.word.weight, std=0.02)
        nn.init.trunc_normal_(self.position, std=0.02)

    def forward(self, words: Tensor) -> Tensor:
        x = self.blocks(self.word(words) + self.position)  # (B, N, D)
        return self.head(self.norm(x).mean(dim=1))


class Towers(nn.Module):
    """Two towers with unit vectors at their tops; their cosines times exp(log_scale) plus bias are the logits."""

    def __init__(self, log_scale: float, bias: float, dim: int = 64, depth: int = 2, out: int = 64):
        super().__init__()
        shape = {"embed_dim": dim, "depth": depth, "num_heads": 4, "mlp_ratio": 2.0, "qkv_bias": True, "pool": "avg"}
        off = {"drop_rate": 0.0, "attn_drop_rate": 0.0, "drop_path_rate": 0.0}
        self.image = VisionTransformer(
            image_size=(SIZE, SIZE),
            in_chans=3,
            num_classes=out,
            patch_size=8,
            pos_embed="learned",
            norm="layernorm",
            **shape,
            **off,
        )
        self.text = TextTower(dim, depth, 4, out)
        self.log_scale = nn.Parameter(torch.tensor(log_scale))
        self.bias = nn.Parameter(torch.tensor(bias))

    def images(self, images: Tensor) -> Tensor:
        """uint8 images (B, 3, 32, 32) to unit vectors (B, out)."""
        return F.normalize(self.image(images / 127.5 - 1), dim=1)

    def texts(self, captions: Sequence[str]) -> Tensor:
        """Captions to unit vectors (B, out)."""
        return F.normalize(self.text(tokenize(captions)), dim=1)

    def forward(self, images: Tensor, captions: Sequence[str]) -> Tensor:
        """Logits (images, captions)."""
        scale = self.log_scale.clamp(max=math.log(100)).exp()  # the limit of Radford et al., section 2.5
        return self.images(images) @ self.texts(captions).T * scale + self.bias


def softmax_loss(logits: Tensor, matches: Tensor) -> Tensor:
    """CLIP's loss: which caption belongs to an image, and which image to a caption; `matches` (B, B) is the truth.

    A row with several matches shares its probability among them.
    """
    targets = matches.float()
    by_image = F.cross_entropy(logits, targets / targets.sum(dim=1, keepdim=True))
    by_text = F.cross_entropy(logits.T, targets.T / targets.sum(dim=0)[:, None])
    return (by_image + by_text) / 2


def sigmoid_loss(logits: Tensor, matches: Tensor) -> Tensor:
    """SigLIP's loss: of each pair by itself, does it match? Summed over captions, averaged over images."""
    signs = 2 * matches.float() - 1
    return -F.logsigmoid(signs * logits).sum(dim=1).mean()


# Each with log_scale and bias at the start, as in the papers.
LOSSES: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], float, float]] = {
    "softmax": (softmax_loss, math.log(1 / 0.07), 0.0),
    "sigmoid": (sigmoid_loss, math.log(10), -10.0),
}


def fit_towers(loss: str, images: Tensor, captions: Sequence[str], batch_size: int, seen: int, lr=2e-3) -> Towers:
    """Towers trained until they have seen `seen` images, in batches drawn anew."""
    torch.manual_seed(0)
    of_logits, log_scale, bias = LOSSES[loss]
    towers = Towers(log_scale, bias)
    names = sorted({scene(caption) for caption in captions})
    scenes = torch.tensor([names.index(scene(caption)) for caption in captions])

    def of_batch(step: int) -> Tensor:
        chosen = torch.randint(len(images), (batch_size,))
        matches = scenes[chosen][:, None] == scenes[chosen]
        return of_logits(towers(images[chosen], [captions[index] for index in chosen.tolist()]), matches)

    descend(towers, of_batch, max(1, seen // batch_size), lr)
    return towers
