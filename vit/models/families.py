"""How a model is built from `model.name`, and how training addresses its parts; one entry per family."""

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeGuard

import torch
from pydantic import ValidationError
from torch import nn

from vit.config.model import CNN, FAMILIES, TORCHVISION, VIT, Family, ModelParams, family_named
from vit.errors import UserError
from vit.models.baselines import SmallCNN, torchvision_model
from vit.models.stems import ConvStem
from vit.models.vision_transformer import PatchEmbed, VisionTransformer

BELOW_BLOCKS = ("cls_token", "dist_token", "reg_token", "pos_embed", "patch_embed", "norm_pre")


@dataclass(frozen=True)
class Build:
    """What a model is built from besides section `model`: (height, width) in pixels, channels, classes."""

    image_size: list[int]
    in_chans: int
    num_classes: int
    distilled: bool


@dataclass(frozen=True)
class Architecture:
    """A family in PyTorch. `kind` is the class of its models; None stands for any class not listed otherwise.

    FSDP shards each of the `blocks`, and Muon updates their matrices. `layer_of` gives a parameter's layer by name,
    counted from 0 at the pixels; freezing and layer decay use it. `convolving` is the module that benefits from
    channels last, None if there is none.
    """

    family: Family
    kind: type[nn.Module] | None
    build: Callable[[ModelParams, Build], nn.Module]
    blocks: Callable[[Any], Iterable[nn.Module]] = lambda model: ()
    layer_of: Callable[[str, Any], int] = lambda name, model: 0
    convolving: Callable[[Any], nn.Module | None] = lambda model: model
    gains_by_channels_last_in_float32: bool = False


def _build_vit(model: ModelParams, build: Build) -> VisionTransformer:
    settings = {name: value for name, value in model.model_dump().items() if name in VIT_SETTINGS}
    is_conv = model.stem == "conv"
    patch_embed = (
        partial(ConvStem, widths=model.stem_widths) if is_conv else partial(PatchEmbed, bias=not model.pre_norm)
    )
    return VisionTransformer(
        image_size=build.image_size,
        in_chans=build.in_chans,
        num_classes=build.num_classes,
        distilled=build.distilled,
        patch_embed=patch_embed,
        **settings,
    )


VIT_SETTINGS = inspect.signature(VisionTransformer).parameters.keys()


def _layer_of_vit(name: str, model: VisionTransformer) -> int:
    """Layer 0 is patch embedding, tokens and position embedding; block i is layer i + 1; norm and head are on top."""
    if name.startswith("blocks."):
        return int(name.split(".")[1]) + 1
    return 0 if name.split(".")[0] in BELOW_BLOCKS else len(model.blocks) + 1


def _stem_of_vit(model: VisionTransformer) -> nn.Module | None:
    """The convolutional stem; None for plain patches, a matrix product for which channels last would cost a copy."""
    return None if isinstance(model.patch_embed, PatchEmbed) else model.patch_embed


ARCHITECTURES = (
    Architecture(
        VIT,
        VisionTransformer,
        build=_build_vit,
        blocks=lambda model: model.blocks,
        layer_of=_layer_of_vit,
        convolving=_stem_of_vit,
        gains_by_channels_last_in_float32=True,  # because of the pooling in its stem
    ),
    Architecture(CNN, SmallCNN, build=lambda model, build: SmallCNN(build.in_chans, build.num_classes)),
    Architecture(
        TORCHVISION,
        None,
        build=lambda model, build: torchvision_model(
            model.name.partition("/")[2], build.image_size, build.in_chans, build.num_classes
        ),
    ),
)
(ANY_OTHER,) = (one for one in ARCHITECTURES if one.kind is None)
BY_FAMILY = {one.family.pattern: one for one in ARCHITECTURES}
assert BY_FAMILY.keys() == {family.pattern for family in FAMILIES}


def architecture_of(model: nn.Module) -> Architecture:
    """The entry that a model was built with."""
    of_its_class = (one for one in ARCHITECTURES if one.kind is not None and isinstance(model, one.kind))
    return next(of_its_class, ANY_OTHER)


def has_attention(model: nn.Module) -> TypeGuard[VisionTransformer]:
    """Whether the model has attention maps; only this class does."""
    return architecture_of(model).family.has_attention


def can_recompute(model: nn.Module) -> TypeGuard[VisionTransformer]:
    """Whether the model can recompute activations in the backward pass; only this class can."""
    return architecture_of(model).family.can_recompute


def new_model(config: dict[str, Any]) -> nn.Module:
    """A freshly initialized model that maps normalized images (B, C, H, W) to class logits (B, classes).

    `config` is the content of config.json: `image_size`, `channels`, `classes`, and `model`, which is that section of
    params.yaml plus `distilled` if there is a distillation token. Keys added after the model was stored get their
    defaults. Initial weights are drawn from PyTorch's global generator. Raises UserError for a key or value that this
    release does not know, or if torchvision has no such model.
    """
    settings = dict(config["model"])
    distilled = settings.pop("distilled", False)
    try:
        model = ModelParams.model_validate(settings)
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(map(str, ("model", *problem["loc"])))
        raise UserError(
            f"the model was made by a newer release or is damaged: {key} in its config.json: {problem['msg']}; use the "
            "release that made it"
        ) from error
    build = Build(config["image_size"], config["channels"], len(config["classes"]), distilled)
    return BY_FAMILY[family_named(model.name).pattern].build(model, build)


def set_channels_last(model: nn.Module, is_float32: bool = False) -> None:
    """Use the channels-last layout for convolutions, which is 1.3 to 2 times as fast on CPUs with AMX.

    In float32 it slows down purely convolutional networks, so those keep their layout.
    """
    architecture = architecture_of(model)
    convolving = architecture.convolving(model)
    if convolving is not None and (architecture.gains_by_channels_last_in_float32 or not is_float32):
        convolving.to(memory_format=torch.channels_last)
