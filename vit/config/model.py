"""The section `model`, and the model families: the keys that each uses, and what it can do.

No other module checks for a family by name; it checks for a capability.
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
    """-> vit/models/families.py; a family ignores the keys that it does not use"""

    name: Annotated[str, AfterValidator(_model_name)] = parameter(
        "vit", "vit | cnn | torchvision/NAME, such as torchvision/resnet18; all other keys of this section are for vit"
    )
    patch_size: Count = parameter(16, "side of a patch; with stem conv, a power of 2", "pixels")
    stem: Literal["patch", "conv"] = parameter(
        "patch", "patch: one linear projection per patch; conv: 3x3 convolutions with batch norm and pooling"
    )
    stem_widths: Annotated[list[Count], Field(min_length=1)] = parameter(
        [32, 64, 128, 256],
        "stem conv: channels of each convolution; the last ones pool, one for each halving from pixel to patch",
    )
    embed_dim: Count = parameter(128, "width of a token")
    depth: Count = parameter(2, "number of transformer blocks")
    num_heads: Count = parameter(4, "attention heads; must divide embed_dim")
    mlp_ratio: Positive = parameter(4.0, "hidden width of the MLP, relative to embed_dim")
    qkv_bias: bool = parameter(True, "true: the query, key and value projections have a bias")
    pool: Literal["cls", "avg", "map"] = parameter(
        "cls",
        "cls: classify the class token; avg: the mean of the patch tokens; map: what a learned query attends to, as in "
        "SigLIP; only cls has a class token",
    )
    pos_embed: Literal["learned", "sincos2d", "none"] = parameter("learned", "position embedding")
    norm: Literal["layernorm", "rmsnorm"] = parameter("layernorm", "normalization layer")
    norm_eps: Positive = parameter(1e-6, "added to the variance in normalization layers; CLIP's models use 1e-5")
    pre_norm: bool = parameter(
        False, "true: normalize tokens before the first block, and embed patches without a bias, as in CLIP"
    )
    act_layer: Literal["gelu", "gelu_tanh", "quick_gelu"] = parameter(
        "gelu", "activation in MLPs; gelu_tanh: SigLIP's approximation; quick_gelu: that of OpenAI's CLIP"
    )
    mlp_layer: Literal["mlp", "swiglu"] = parameter(
        "mlp", "swiglu: half of the hidden width gates the other half by SiLU, as in DINOv2's ViT-g"
    )
    init_values: Positive | None = parameter(
        None, "initial value of LayerScale, a learned factor per feature after attention and MLP; null: none"
    )
    reg_tokens: Annotated[int, Field(ge=0)] = parameter(0, "number of register tokens, as in DINOv2 with registers")
    no_embed_class: bool = parameter(
        False, "true: only patches have a learned position, class and register tokens have none, as in DeiT III"
    )
    drop_rate: Rate = parameter(0.0, "dropout after the position embedding, in projections and in MLPs")
    attn_drop_rate: Rate = parameter(0.0, "dropout on attention weights")
    drop_path_rate: Rate = parameter(
        0.0, "stochastic depth: drop rate of the last block, rising linearly from 0 at the first"
    )

    @model_validator(mode="after")
    def _suits_its_family(self):
        family_named(self.name).check(self)
        return self


@dataclass(frozen=True)
class Family:
    """A kind of model: its names and its capabilities.

    `check` and `check_image_size` (height, width) raise ValueError with the value and what to do.
    `layers_below_the_head` counts the layers that can be frozen or use layer decay; None if there are none.
    `bfloat16_above` is the longest side, in pixels, at which the last feature map is a single position, for which
    PyTorch's bfloat16 gradients are sometimes wrong; `is_narrow` means that its matrices are too small to gain from it.
    """

    pattern: str  # of model.name
    spelled: str  # the pattern in words, for messages
    title: str  # on the model card
    describe: Callable[[ModelParams], str] = lambda model: ""  # its dimensions, for the model card
    check: Callable[[ModelParams], None] = lambda model: None
    check_image_size: Callable[[ModelParams, list[int]], None] = lambda model, image_size: None
    layers_below_the_head: Callable[[ModelParams], int] | None = None
    has_attention: bool = False  # attention maps to draw, a kernel to choose
    can_be_sharded: bool = False
    can_recompute: bool = False  # activations in the backward pass, to save memory
    has_distillation_token: bool = False
    can_hide_patches: bool = False  # from the blocks, as masked autoencoding does
    bfloat16_above: int = 0
    is_narrow: Callable[[ModelParams], bool] = lambda model: False
    requirements: tuple[str, ...] = ()  # packages that serving needs in addition to a ViT's

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
    if model.mlp_layer == "swiglu" and int(model.embed_dim * model.mlp_ratio) % 2:
        raise ValueError(
            f"mlp_layer 'swiglu' needs an even hidden width, not {int(model.embed_dim * model.mlp_ratio)}, which is "
            f"embed_dim {model.embed_dim} times mlp_ratio {model.mlp_ratio}"
        )
    if model.stem == "patch":
        return
    if model.patch_size < 2 or model.patch_size & (model.patch_size - 1):
        raise ValueError(f"stem 'conv' needs a patch_size that is a power of 2, at least 2, not {model.patch_size}")
    halvings = model.patch_size.bit_length() - 1
    if len(model.stem_widths) < halvings:
        raise ValueError(
            f"stem 'conv' with patch_size {model.patch_size} needs {halvings} stem_widths or more, not "
            f"{model.stem_widths}, because each convolution halves the image at most once"
        )


def _check_patches_tile(model: ModelParams, image_size: list[int]) -> None:
    if any(side % model.patch_size for side in image_size):
        raise ValueError(f"pack.image_size {image_size} is not a multiple of model.patch_size {model.patch_size}")


def _describe_vit(model: ModelParams) -> str:
    patches = f"{model.patch_size}-pixel patches{' from a convolutional stem' if model.stem == 'conv' else ''}"
    return f"{patches}, width {model.embed_dim}, {model.depth} blocks, {model.num_heads} heads"


VIT = Family(
    pattern="vit",
    spelled="vit",
    title="Vision Transformer",
    describe=_describe_vit,
    check=_check_vit,
    check_image_size=_check_patches_tile,
    layers_below_the_head=lambda model: model.depth + 1,  # patch and position embeddings, then the blocks
    has_attention=True,
    can_be_sharded=True,
    can_recompute=True,
    has_distillation_token=True,
    can_hide_patches=True,
    is_narrow=lambda model: model.embed_dim < 96,
)
CNN = Family(pattern="cnn", spelled="cnn", title="Small CNN", bfloat16_above=8)
TORCHVISION = Family(
    pattern=r"torchvision/\w+",
    spelled="torchvision/NAME, such as torchvision/resnet18",
    title="torchvision classifier",
    bfloat16_above=32,
    requirements=("torchvision",),
)
FAMILIES = (VIT, CNN, TORCHVISION)
