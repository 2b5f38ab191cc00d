"""The section `pack`: how an image becomes the model's input, in training and in serving."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from vit.config.fields import Count, CountOrAuto, PerChannelOrAuto, Positive, RangeOrAuto, Section, Share, parameter

STORE = r"^(s3://[^\s/@?:]+/[^\s@?]+|[^\s:]+)$"  # a bucket without credentials, or a folder


class PackParams(Section):
    """-> stages/pack.py"""

    mode: Literal["arrays", "shards", "none"] = parameter(
        "arrays",
        "arrays: decode once; shards: the same into many files, for data larger than memory or disk; none: decode in "
        "every epoch",
    )
    store: Annotated[str, Field(pattern=STORE)] | None = parameter(
        None, "shards: where they lie, a folder or s3://BUCKET/PREFIX; null: with the other packed files"
    )
    shard_mb: Positive = parameter(16.0, "shards: size of each", "MB")
    image_size: Annotated[list[Count], Field(min_length=2, max_length=2)] = parameter(
        [224, 224], "[height, width], both multiples of model.patch_size", "pixels"
    )
    channels: Literal[1, 3] = parameter(3, "1: grayscale; 3: RGB")
    fit: Literal["crop", "center", "stretch"] = parameter(
        "crop",
        "crop: keep the aspect ratio and cut off what is left over; center: the same in whole pixels, as timm, "
        "torchvision and transformers do; stretch: resize each side to fit",
    )
    crop_pct: Share = parameter(
        1.0, "center and stretch: the middle of the resized image that is kept, as a share of each side"
    )
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"] = parameter(
        "bicubic", "filter for resizing, always antialiased"
    )
    margin: Annotated[float, Field(ge=0, le=1)] = parameter(
        0.0, "border added around train images for random crops, as a share of each side"
    )
    trim_bars: bool = parameter(False, "true: remove black bars before resizing")
    workers: CountOrAuto = parameter(
        "auto", "processes that decode images; auto: one per core if there are many images"
    )
    value_range: RangeOrAuto = parameter(
        "auto",
        "[low, high]: values that become 0 and 255 in images of more than 8 bits; auto: found by the audit from all "
        "images; 8-bit images keep their values",
    )
    background: Literal["white", "black", "gray"] = parameter("white", "colour behind transparent pixels")
    mean: PerChannelOrAuto = parameter(
        "auto", "subtracted from values in [0, 1]; auto: measured on train; pretrained weights need their own"
    )
    std: PerChannelOrAuto = parameter("auto", "what the difference is divided by; auto: measured on train")

    @model_validator(mode="after")
    def _only_shards_have_a_store(self):
        if self.store is not None and self.mode != "shards":
            raise ValueError(f"store {self.store} is only for mode shards, not {self.mode}; set it to null")
        return self

    @model_validator(mode="after")
    def _every_channel_is_normalized(self):
        for name in ("mean", "std"):
            values = getattr(self, name)
            if values != "auto" and len(values) != self.channels:
                raise ValueError(
                    f"{name} {values} has {len(values)} values for {self.channels} channels; write one per channel"
                )
        if isinstance(self.std, list) and 0 in self.std:
            raise ValueError(f"std {self.std} contains 0; pixels cannot be divided by it")
        return self

    @model_validator(mode="after")
    def _what_is_cropped_is_resized_whole(self):
        if self.fit == "crop" and self.crop_pct != 1:
            raise ValueError(f"crop_pct {self.crop_pct} needs fit center or stretch, not crop; set it to 1.0")
        return self
