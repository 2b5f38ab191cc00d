"""The model that `model.name` asks for: the Vision Transformer, or what it is compared with."""

import inspect
from functools import partial

import torch
from torch import nn

from vit.errors import UserError
from vit.models.baselines import SmallCNN, torchvision_model
from vit.models.stems import ConvStem
from vit.models.vision_transformer import PatchEmbed, VisionTransformer

OTHERS = {"image_size", "in_chans", "num_classes", "patch_embed", "distilled"}  # come from data, stem and teacher
SETTINGS = {"name", "stem", "stem_widths", *inspect.signature(VisionTransformer).parameters} - OTHERS


def new_model(config: dict) -> nn.Module:
    """A freshly initialized model from normalized images (B, C, H, W) to class logits (B, classes).

    `config` is what config.json holds: `image_size`, `channels`, `classes`, and as `model` the block of params.yaml.
    The draws come from PyTorch's global generator. Raises UserError if `model` has not the keys of this release, or
    torchvision no such model.
    """
    settings = dict(config["model"])
    _check_release(settings)
    name, stem, widths = (settings.pop(key) for key in ("name", "stem", "stem_widths"))
    image_size, in_chans, num_classes = config["image_size"], config["channels"], len(config["classes"])
    if name == "cnn":
        return SmallCNN(in_chans, num_classes)
    if name.startswith("torchvision/"):
        return torchvision_model(name.removeprefix("torchvision/"), image_size, in_chans, num_classes)
    patch_embed = partial(ConvStem, widths=widths) if stem == "conv" else PatchEmbed
    return VisionTransformer(
        image_size=image_size, in_chans=in_chans, num_classes=num_classes, patch_embed=patch_embed, **settings
    )


def set_channels_last(model: nn.Module, is_float32: bool = False) -> None:
    """Lay out what convolves as the CPU's kernels want it: with AMX 1.3 to 2 times as fast.

    In float32 a stem gains, by its pooling; networks that only convolve are slower so and stay as they are. Plain
    patches are a matrix product, for which it would be a copy more.
    """
    is_vit = isinstance(model, VisionTransformer)
    convolving = model.patch_embed if is_vit else model
    if not isinstance(convolving, PatchEmbed) and (is_vit or not is_float32):
        convolving.to(memory_format=torch.channels_last)


def _check_release(settings: dict) -> None:
    differing = {"lacks": SETTINGS - settings.keys(), "has an unknown": settings.keys() - SETTINGS - {"distilled"}}
    for verb, names in differing.items():
        if names:
            keys = ", ".join(f"model.{name}" for name in sorted(names))
            raise UserError(f"the model is of another release (config.json {verb} {keys}); train it anew")
