"""The section `model`, and the families of models: which keys each reads, and what it can do.

Nothing elsewhere asks for a family by its name: it asks for what the family can do.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from vit.config.fields import Count, Positive, Rate, Section, parameter


def _model_name(name: str) -> str:
    if any(re.fullmatch(family.pattern, name) for family in FAMILIES):
        return name
    names = ", ".join(family.spelled for family in FAMILIES)
    raise PydanticCustomError("model_name", "should be {names}", {"names": names})


class ModelParams(Section):
    """-> vit/models/families.py; what a family does not read, it ignores"""

    name: Annotated[str, AfterValidator(_model_name)] = parameter(
        "vit", "vit | cnn | torchvision/NAME, such as torchvision/resnet18; the other keys here are of vit alone"
    )
    patch_size: Count = parameter(16, "side of a patch; stem conv: a power of 2", "pixels")
    stem: Literal["patch", "conv"] = parameter(
        "patch", "patch: one projection of each; conv: 3x3 convolutions with batch norm, pooled"
    )
    stem_widths: Annotated[list[Count], Field(min_length=1)] = parameter(
        [32, 64, 128, 256],
        "stem conv: channels of its convolutions, of which the last ones pool, as many as it takes to reach patches",
    )
    embed_dim: Count = parameter(128, "width of a token")
    depth: Count = parameter(2, "blocks")
    num_heads: Count = parameter(4, "attention heads; must divide embed_dim")
    mlp_ratio: Positive = parameter(4.0, "hidden width of the MLP / embed_dim")
    qkv_bias: bool = parameter(True, "bias in the projections to queries, keys and values")
    pool: Literal["cls", "avg"] = parameter("cls", "cls: a class token; avg: the mean of the patches")
    pos_embed: Literal["learned", "sincos2d", "none"] = parameter("learned", "position embedding")
    norm: Literal["layernorm", "rmsnorm"] = parameter("layernorm", "of tokens")
    drop_rate: Rate = parameter(0.0, "dropout after positions, in projections and MLPs")
    attn_drop_rate: Rate = parameter(0.0, "dropout on attention weights")
    drop_path_rate: Rate = parameter(0.0, "stochastic depth of the last block, growing linearly from 0")

    @model_validator(mode="after")
    def _suits_its_family(self):
        family_named(self.name).check(self)
        return self


@dataclass(frozen=True)
class Family:
    """A kind of model: its names, and what the rest of the project may do with it.

    `check` and `check_image_size` (height, width) raise ValueError with the value and the way out.
    `layers_below_the_head` counts the layers that can be frozen, or trained at decaying rates; None without such.
    `bfloat16_above` is the longest side, in pixels, at which its last convolution comes to a single place, where
    PyTorch's bfloat16 gradients are at times wrong; `is_narrow` says that its products are too small to gain by it.
    """

    pattern: str  # of model.name
    spelled: str  # the pattern as a person reads it
    title: str  # on the model card
    describe: Callable[[ModelParams], str] = lambda model: ""  # its sizes, for the model card
    check: Callable[[ModelParams], None] = lambda model: None
    check_image_size: Callable[[ModelParams, list[int]], None] = lambda model, image_size: None
    layers_below_the_head: Callable[[ModelParams], int] | None = None
    has_attention: bool = False  # maps to look at, a kernel to choose
    can_be_sharded: bool = False
    can_recompute: bool = False  # activations in the backward pass, for less memory
    has_distillation_token: bool = False
    bfloat16_above: int = 0
    is_narrow: Callable[[ModelParams], bool] = lambda model: False
    requirements: tuple[str, ...] = ()  # packages that serving needs beyond those of a ViT

    @property
    def has_layers(self) -> bool:
        return self.layers_below_the_head is not None


def family_named(name: str) -> Family:
    """The family that `model.name` belongs to."""
    return next(family for family in FAMILIES if re.fullmatch(family.pattern, name))


def _check_vit(model: ModelParams) -> None:
    if model.embed_dim % model.num_heads:
        raise ValueError(f"num_heads {model.num_heads} must divide embed_dim {model.embed_dim}")
    if model.pos_embed == "sincos2d" and model.embed_dim % 4:
        raise ValueError(f"pos_embed 'sincos2d' needs an embed_dim that is a multiple of 4, not {model.embed_dim}")
    if model.stem == "patch":
        return
    if model.patch_size < 2 or model.patch_size & (model.patch_size - 1):
        raise ValueError(f"stem 'conv' needs a patch_size that is a power of 2, at least 2, not {model.patch_size}")
    halvings = model.patch_size.bit_length() - 1
    if len(model.stem_widths) < halvings:
        raise ValueError(
            f"stem 'conv' with patch_size {model.patch_size} needs {halvings} stem_widths or more, not "
            f"{model.stem_widths}, as each convolution halves the image once at most"
        )


def _check_patches_tile(model: ModelParams, image_size: list[int]) -> None:
    if any(side % model.patch_size for side in image_size):
        raise ValueError(f"pack.image_size {image_size} is not a multiple of model.patch_size {model.patch_size}")


def _describe_vit(model: ModelParams) -> str:
    patches = f"patches of {model.patch_size}{' by convolutions' if model.stem == 'conv' else ''}"
    return f"{patches}, width {model.embed_dim}, {model.depth} blocks, {model.num_heads} heads"


VIT = Family(
    pattern="vit",
    spelled="vit",
    title="Vision Transformer",
    describe=_describe_vit,
    check=_check_vit,
    check_image_size=_check_patches_tile,
    layers_below_the_head=lambda model: model.depth + 1,  # patches and positions, then the blocks
    has_attention=True,
    can_be_sharded=True,
    can_recompute=True,
    has_distillation_token=True,
    is_narrow=lambda model: model.embed_dim < 96,
)
CNN = Family(pattern="cnn", spelled="cnn", title="Small CNN", bfloat16_above=8)
TORCHVISION = Family(
    pattern=r"torchvision/\w+",
    spelled="torchvision/NAME, such as torchvision/resnet18",
    title="Classifier of torchvision",
    bfloat16_above=32,
    requirements=("torchvision",),
)
FAMILIES = (VIT, CNN, TORCHVISION)
