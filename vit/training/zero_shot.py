"""Classifying by text: the image tower of a pair against the embeddings of class names.

A pair's zero-shot logits are scale * cos(W f, t_k): features f (D) of the image, its projection W (P, D) (CLIP has one;
SigLIP has none), the unit vector t_k (P) of class k.
"""

from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vit.config.files import CONFIG, WEIGHTS
from vit.config.model import ModelParams
from vit.files import read_json, replacing, write_json
from vit.inference.classifier import LATER_SETTINGS, Classifier
from vit.training.initial import MADE_OF, TEXT

NOISE = 16  # images


@dataclass
class ZeroShot(Classifier):
    """An image tower, with its projection as head, and `texts`, the unit vectors (K, P) of its classes."""

    texts: Tensor
    scale: float

    @torch.inference_mode()
    def logits(self, images: Tensor) -> Tensor:
        """uint8 (B, H, W, C) to the pair's own logits (B, K), but for SigLIP's bias, which softmax does not see."""
        embedded = F.normalize(super().logits(images), dim=-1)
        return self.scale * embedded @ self.texts.T


def image_tower(folder: Path, device: torch.device) -> Classifier:
    """The model that stage weights wrote to `folder`, with its projection as head, or without a head."""
    config = LATER_SETTINGS | read_json(folder / CONFIG)
    weights = safetensors.torch.load_file(folder / WEIGHTS)
    outputs = len(weights["head.weight"]) if "head.weight" in weights else 0
    config |= {"model": ModelParams().model_dump() | config["model"], "classes": ["none"] * max(outputs, 1)}
    tower = Classifier.new({"compute": {"attention": "fused"}} | config, device)
    if not outputs:
        tower.model.head = nn.Identity()
    tower.model.load_state_dict(weights)
    tower.model.eval()
    return tower


def write_text_head(folder: Path, texts: Tensor, scale: float, classes: list[str]) -> float:
    """Give the weights in `folder` a head of which the largest logit is that of zero-shot, for every image.

    Its rows are scale / m * (t_k W), its bias is 0. m is the mean length of W f over noise, because a linear layer
    cannot divide by the length of each image's own: the ranking is that of the pair, the confidence only on average,
    until the temperature is fitted on val. Returns m.
    """
    tower = image_tower(folder, torch.device("cpu"))
    length = _mean_length(tower)
    weights = safetensors.torch.load_file(folder / WEIGHTS)
    rows = texts @ weights["head.weight"].float() if "head.weight" in weights else texts  # (K, D)
    weights |= {"head.weight": (rows * scale / length).contiguous(), "head.bias": torch.zeros(len(rows))}
    with replacing(folder / WEIGHTS) as temporary:
        safetensors.torch.save_file(weights, temporary)
    write_json(folder / CONFIG, read_json(folder / CONFIG) | {"classes": classes, MADE_OF: TEXT})
    return length


@torch.inference_mode()
def _mean_length(tower: Classifier) -> float:
    """The mean length of the embeddings of images whose patches have random colours."""
    (height, width), patch = tower.config["image_size"], tower.config["model"]["patch_size"]
    shape = (NOISE, tower.config["channels"], height // patch, width // patch)
    colours = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    images = colours.repeat_interleave(patch, dim=2).repeat_interleave(patch, dim=3)
    return float(tower.model(images).norm(dim=-1).mean())
