"""The block `model` of params.yaml."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from vit.config.fields import Block, Count, Positive, Rate


def _model_name(name: str) -> str:
    if re.fullmatch(r"vit|cnn|torchvision/\w+", name):
        return name
    raise PydanticCustomError("model_name", "should be vit, cnn or torchvision/NAME, say torchvision/resnet18")


class ModelParams(Block):
    name: Annotated[str, AfterValidator(_model_name)]
    patch_size: Count
    stem: Literal["patch", "conv"]
    stem_widths: Annotated[list[Count], Field(min_length=1)]
    embed_dim: Count
    depth: Count
    num_heads: Count
    mlp_ratio: Positive
    qkv_bias: bool
    pool: Literal["cls", "avg"]
    pos_embed: Literal["learned", "sincos2d", "none"]
    norm: Literal["layernorm", "rmsnorm"]
    drop_rate: Rate
    attn_drop_rate: Rate
    drop_path_rate: Rate

    @model_validator(mode="after")
    def _width_divides(self):
        if self.name != "vit":
            return self
        if self.embed_dim % self.num_heads:
            raise ValueError(f"num_heads {self.num_heads} must divide embed_dim {self.embed_dim}")
        if self.pos_embed == "sincos2d" and self.embed_dim % 4:
            raise ValueError(f"pos_embed 'sincos2d' needs an embed_dim that 4 divides, not {self.embed_dim}")
        return self

    @model_validator(mode="after")
    def _stem_reaches_patches(self):
        if self.name != "vit" or self.stem == "patch":
            return self
        if self.patch_size < 2 or self.patch_size & (self.patch_size - 1):
            raise ValueError(f"stem 'conv' needs a patch_size that is a power of 2 from 2 on, not {self.patch_size}")
        halvings = self.patch_size.bit_length() - 1
        if len(self.stem_widths) < halvings:
            raise ValueError(
                f"stem 'conv' with patch_size {self.patch_size} needs {halvings} stem_widths or more, not "
                f"{self.stem_widths}, as each convolution halves the image once at most"
            )
        return self
