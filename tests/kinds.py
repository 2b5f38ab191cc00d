"""A small untrained classifier of each kind of model, for 16x16 images in colour and three classes."""

import numpy as np
import torch
from torch import Tensor

from vit.config.model import ModelParams
from vit.inference.classifier import Classifier

CLASSES = ["<b>*x*</b>", "$a$", "dog"]  # names that Markdown, HTML and LaTeX would take for their own
SMALL = {"patch_size": 4, "embed_dim": 16, "depth": 2, "num_heads": 2, "mlp_ratio": 2.0}
KINDS: dict[str, dict] = {
    "cls": {"name": "vit", **SMALL},
    "avg": {"name": "vit", **SMALL, "pool": "avg", "pos_embed": "sincos2d"},
    "distilled": {"name": "vit", **SMALL, "distilled": True},
    "conv": {"name": "vit", **SMALL, "stem": "conv", "stem_widths": [8, 16], "pos_embed": "none"},
    "cnn": {"name": "cnn"},
    "resnet18": {"name": "torchvision/resnet18"},
}
WITH_ATTENTION = ["cls", "avg", "distilled", "conv"]


def classifier_of(kind: str, seed: int = 0) -> Classifier:
    """Weights are drawn by `seed`; those of attention are large, so that maps are far from even."""
    settings = dict(KINDS[kind])
    distilled = {"distilled": True} if settings.pop("distilled", False) else {}
    config = {
        "image_size": [16, 16],
        "channels": 3,
        "fit": "crop",
        "margin": 0.0,
        "trim_bars": False,
        "value_range": None,
        "background": "white",
        "classes": CLASSES,
        "mean": [0.5, 0.4, 0.3],
        "std": [0.2, 0.25, 0.3],
        "model": ModelParams(**settings).model_dump() | distilled,
        "compute": {"attention": "math"},
    }
    torch.manual_seed(seed)
    classifier = Classifier.new(config, torch.device("cpu"))
    with torch.no_grad():
        for name, parameter in classifier.model.named_parameters():
            if name.endswith("attn.qkv.weight"):
                parameter.normal_(std=0.8)
    classifier.model.eval()
    return classifier


def images(count: int = 1, seed: int = 1) -> Tensor:
    """Noise, uint8 (count, 16, 16, 3)."""
    drawn = np.random.default_rng(seed).integers(0, 256, (count, 16, 16, 3), dtype=np.uint8)
    return torch.from_numpy(drawn)
