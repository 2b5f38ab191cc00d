"""Which published Vision Transformer a file holds: section model for it, and how its tensors become ours.

It reads only the names and shapes of tensors and the config.json of timm or transformers beside them.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from vit.errors import UserError
from vit.models.published import timm_names, transformers_names
from vit.models.published.foreign import TimmConfig, TimmImages, TransformersHead, TransformersModel
from vit.models.published.geometry import geometry, square
from vit.models.published.renaming import Rule, Shapes, Tensor, is_odd, renamed

CONFIG = "config.json"
NEEDED = {"patch_embed.proj.weight", "pos_embed"} | {
    f"blocks.0.{layer}.weight" for layer in ("attn.qkv", "mlp.fc1", "mlp.fc2")
}
SHOWN = 4  # most names listed in an error
ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "quick_gelu": "quick_gelu",
}
BICUBIC = {"mode": "bicubic", "antialias": False}
ANTIALIASED = {"mode": "bicubic", "antialias": True}
# What transformers takes where config.json is silent, and how each of its models resamples positions.
TRANSFORMERS = {
    "vit": ({"layer_norm_eps": 1e-12, "hidden_act": "gelu"}, BICUBIC),
    "deit": ({"layer_norm_eps": 1e-12, "hidden_act": "gelu"}, BICUBIC),
    "vit_mae": ({"layer_norm_eps": 1e-12, "hidden_act": "gelu"}, BICUBIC),
    "dinov2": ({"layer_norm_eps": 1e-6, "hidden_act": "gelu"}, BICUBIC),
    "dinov2_with_registers": ({"layer_norm_eps": 1e-6, "hidden_act": "gelu"}, ANTIALIASED),
    "clip_vision_model": ({"layer_norm_eps": 1e-5, "hidden_act": "quick_gelu"}, BICUBIC),
    "siglip_vision_model": ({"layer_norm_eps": 1e-6, "hidden_act": "gelu_pytorch_tanh"}, BICUBIC),
    "siglip2_vision_model": (
        {"layer_norm_eps": 1e-6, "hidden_act": "gelu_pytorch_tanh", "num_patches": 256},
        {"mode": "bilinear", "antialias": True},
    ),
}
BASE = {"num_attention_heads": 12, "image_size": 224}  # the default of all of these
OF_BOTH_TOWERS = {"clip": "clip_vision_model", "siglip": "siglip_vision_model", "siglip2": "siglip2_vision_model"}


@dataclass(frozen=True)
class Published:
    """A published model as this project sees it.

    `model` holds all keys of section model that its weights determine; `image_size` is (height, width) in pixels;
    `outputs` counts those of its head, 0 if there is none, and `classes` names them where they are known. `tensors`
    says how each of our tensors is made, and `dropped` why others are left out. `positions` are the settings of the
    interpolation with which the original resamples its position embeddings.
    """

    naming: str
    architecture: str
    model: dict[str, Any]
    distilled: bool
    image_size: list[int]
    channels: int
    outputs: int
    classes: list[str]
    tensors: dict[str, Tensor]
    dropped: dict[str, str]
    positions: dict[str, Any] = field(default_factory=dict)

    def translate(self, weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Its weights under our names, in float32. `weights` may read tensors lazily."""
        return {name: tensor.made_of(weights) for name, tensor in self.tensors.items()}

    def config(self) -> dict[str, Any]:
        """The config.json to write beside the translated weights, which `vit.training.initial` reads."""
        return {
            "image_size": self.image_size,
            "channels": self.channels,
            "classes": self.classes,
            "model": self.model | ({"distilled": True} if self.distilled else {}),
            "positions": self.positions,
        }


def recognize(shapes: Shapes, config: Mapping[str, Any], called: str = "the weights") -> Published:
    """What is published in a file with tensors of `shapes`, described by timm's or transformers' config.json.

    Raises UserError, which begins with `called`, if this project's model cannot be it.
    """
    found = _of_timm(shapes, config, called) if "architecture" in config else _of_transformers(shapes, config, called)
    patches = found.tensors["patch_embed.proj.weight"].shape
    if len(patches) != 4 or patches[1] not in (1, 3) or patches[2] != patches[3]:
        raise UserError(
            f"{called}: its patch embedding has shape {list(patches)} instead of [embed_dim, 1 or 3, patch_size, "
            "patch_size]; use other weights"
        )
    found = replace(found, model=found.model | geometry({name: one.shape for name, one in found.tensors.items()}))
    last_norm = "fc_norm.weight" if found.model["pool"] == "avg" else "norm.weight"
    if last_norm not in found.tensors:
        raise UserError(
            f"{called}: {found.architecture} pools its tokens by '{found.model['pool']}' without {last_norm}, which "
            "this project's model cannot do; use other weights"
        )
    found = _with_positions(found, called)
    width, heads = found.model["embed_dim"], found.model["num_heads"]
    if width % heads:
        raise UserError(f"{called}: its {heads} attention heads do not divide its width {width}; use other weights")
    return found


def _of_timm(shapes: Shapes, config: Mapping[str, Any], called: str) -> Published:
    known = TimmConfig.read(config, called, CONFIG)
    architecture = known.architecture
    tensors, dropped = _renamed(shapes, timm_names.RULES, timm_names.DROPPED, f"{called} ({architecture})")
    cfg = known.pretrained_cfg or TimmImages.read(config, called, CONFIG)
    width = tensors["pos_embed"].shape[-1]
    heads = known.model_args.num_heads or timm_names.heads_of(architecture, width)
    if heads is None:
        raise UserError(f"{called}: {architecture} is not among the architectures known here; use other weights")
    act_layer = known.model_args.act_layer or timm_names.act_layer_of(architecture)
    if act_layer not in ACTIVATIONS.values():
        raise UserError(
            f"{called}: act_layer '{act_layer}' is none of {', '.join(dict.fromkeys(ACTIVATIONS.values()))}; use other "
            "weights"
        )
    channels, *image_size = cfg.input_size
    outputs = tensors["head.weight"].shape[0] if "head.weight" in tensors else 0
    return Published(
        naming="timm",
        architecture=architecture,
        model={"num_heads": heads, "norm_eps": timm_names.norm_eps_of(architecture), "act_layer": act_layer},
        distilled="dist_token" in tensors,
        image_size=image_size,
        channels=channels,
        outputs=outputs,
        classes=known.label_names,
        tensors=tensors,
        dropped=dropped,
        positions=ANTIALIASED,
    )


def _of_transformers(shapes: Shapes, config: Mapping[str, Any], called: str) -> Published:
    around = TransformersHead.read(config, called, CONFIG)
    whole = around.model_type
    kind = OF_BOTH_TOWERS.get(whole, whole)
    if kind not in TRANSFORMERS:
        raise UserError(f"{called}: model_type '{whole}' is none of {', '.join(TRANSFORMERS)}; use other weights")
    defaults, positions = TRANSFORMERS[kind]
    own = around.vision_config if whole in OF_BOTH_TOWERS else config
    told = {key: value for key, value in own.items() if value is not None}
    known = TransformersModel.read({**BASE, **defaults, **told}, called, CONFIG)
    tensors, dropped = _renamed(shapes, transformers_names.RULES, transformers_names.DROPPED, f"{called} ({whole})")
    if known.hidden_act not in ACTIVATIONS:
        raise UserError(
            f"{called}: hidden_act '{known.hidden_act}' is none of {', '.join(ACTIVATIONS)}; use other weights"
        )
    _leave_out_other_heads(tensors, dropped)
    if len((patches := tensors["patch_embed.proj.weight"]).shape) == 2:
        pixels, channels = patches.shape[1], known.num_channels
        if grid := square(pixels // channels) if pixels % channels == 0 else None:
            shape = (patches.shape[0], channels, *grid)
            tensors["patch_embed.proj.weight"] = Tensor(patches.theirs, shape, is_channels_last=True)
    if "visual_projection.weight" in shapes and "head.weight" in tensors:  # into the space of texts; it has no bias
        tensors["head.bias"] = Tensor((), (tensors["head.weight"].shape[0],))
    head = tensors.get("head.weight")
    is_classifier = "classifier." in " ".join(shapes)
    return Published(
        naming="transformers",
        architecture=(around.architectures or [whole])[0],
        model={
            "num_heads": known.num_attention_heads,
            "norm_eps": known.layer_norm_eps,
            "act_layer": ACTIVATIONS[known.hidden_act],
        },
        distilled="dist_token" in tensors,
        image_size=_image_size(known, tensors),
        channels=known.num_channels,
        outputs=0 if head is None else head.shape[0],
        classes=[name for _, name in sorted(around.id2label.items())] if is_classifier and head is not None else [],
        tensors=tensors,
        dropped=dropped,
        positions=positions,
    )


def _leave_out_other_heads(tensors: dict[str, Tensor], dropped: dict[str, str]) -> None:
    """Drop a classifier that reads something else than ours, and say so in `dropped`."""
    if "head.weight" in tensors and tensors["head.weight"].shape[1] != tensors["pos_embed"].shape[-1]:
        reason = "a classifier of class token and mean patch together"
    elif "dist_token" in tensors and "head_dist.weight" not in tensors:
        reason = "a classifier that ignores the distillation token"
    else:
        return
    for name in [name for name in tensors if name.startswith("head.")]:
        dropped |= dict.fromkeys(tensors.pop(name).theirs, reason)


def _image_size(known: TransformersModel, tensors: Mapping[str, Tensor]) -> list[int]:
    if known.num_patches is not None:
        side = math.isqrt(known.num_patches) * tensors["patch_embed.proj.weight"].shape[-1]
        return [side, side]
    size = known.image_size
    assert size is not None  # BASE has one
    return [size, size] if isinstance(size, int) else list(size)


def _renamed(
    shapes: Shapes, rules: tuple[Rule, ...], reasons: Mapping[str, str], called: str
) -> tuple[dict[str, Tensor], dict[str, str]]:
    if odd := [name for name, shape in shapes.items() if is_odd(name, shape, rules)]:
        raise UserError(
            f"{called}: {odd[0]} of shape {list(shapes[odd[0]])} is not a tensor of a Vision Transformer; use other "
            "weights"
        )
    tensors, unknown = renamed(shapes, rules)
    dropped = {name: reason for name in unknown for pattern, reason in reasons.items() if re.fullmatch(pattern, name)}
    if strange := [name for name in unknown if name not in dropped]:
        more = f" and {len(strange) - SHOWN} more" if len(strange) > SHOWN else ""
        raise UserError(
            f"{called} has tensors that no Vision Transformer of this project has: {', '.join(strange[:SHOWN])}{more}; "
            "use other weights"
        )
    if missing := NEEDED - tensors.keys():
        raise UserError(f"{called} has no {', '.join(sorted(missing))} under any name known here; use other weights")
    return tensors, dropped


def _with_positions(found: Published, called: str) -> Published:
    """Decide which tokens have a position; one of the class token alone, beside registers, is added to that token."""
    tensors, patch_size = dict(found.tensors), found.model["patch_size"]
    held = tensors["pos_embed"].shape[1]
    prefix = sum(tensors[name].shape[1] for name in ("cls_token", "dist_token", "reg_token") if name in tensors)
    grid = (found.image_size[0] // patch_size, found.image_size[1] // patch_size)
    possible = {0, 1, prefix} if "cls_token" in tensors else {0, prefix}
    if held - math.prod(grid) not in possible:
        grid = next((known for one in sorted(possible) if (known := square(held - one))), None)
    if grid is None:
        raise UserError(f"{called}: its {held} position embeddings do not form a square grid; use other weights")
    rows = held - math.prod(grid)
    if rows == 1 and prefix > 1:
        tensors["cls_token"] = replace(tensors["cls_token"], plus_row=tensors["pos_embed"].theirs[0])
        *_, width = tensors["pos_embed"].shape
        tensors["pos_embed"] = replace(tensors["pos_embed"], rows=(1, held), shape=(1, held - 1, width))
        rows = 0
    return replace(
        found,
        tensors=tensors,
        image_size=[side * patch_size for side in grid],
        model=found.model | {"no_embed_class": prefix > 0 and rows == 0},
    )
