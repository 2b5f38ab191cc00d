"""Typed, strict parameters: params.yaml is the only place for knobs, and nothing here has a default."""

import re
from typing import Annotated, Literal

from pydantic import Field, model_validator

from vit.config.fields import Block, Count, CountOrAuto, Device, Fraction, Named, NonNegative, Positive, Rate, Seed
from vit.config.model import ModelParams

# Keys of block train that make sense for the blocks of a ViT alone, and their values for any other model.
OF_BLOCKS = {
    "layer_decay": 1.0,
    "frozen_layers": 0,
    "parallel": "ddp",
    "attention": "auto",
    "grad_checkpointing": False,
}


class DataParams(Block):
    source: Literal["digits", "shapes", "folder", "kaggle", "torchvision"]
    path: Annotated[str, Field(min_length=1)]
    kaggle_handle: Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")]
    kaggle_version: Count | None
    kaggle_timeout: Count
    kaggle_retries: Annotated[int, Field(ge=0)]
    torchvision_name: Annotated[str, Field(pattern=r"^[A-Za-z]\w*$")]
    shapes_per_class: Count
    shapes_noise: Fraction
    seed: Seed


class SplitParams(Block):
    strategy: Literal["auto", "random", "blocks", "groups", "folders"]
    val_fraction: Annotated[float, Field(gt=0, lt=1)]
    test_fraction: Annotated[float, Field(gt=0, lt=1)]
    folds: Annotated[int, Field(ge=2)] | None
    fold: Annotated[int, Field(ge=0)]
    block_size: Count
    gap: Annotated[int, Field(ge=0)]
    group_column: Annotated[str, Field(min_length=1)] | None
    group_regex: Annotated[str, Field(min_length=1)] | None
    subset_per_class: Count | None
    max_broken_fraction: Fraction
    leakage_margin: Fraction
    fail_on_leakage: bool
    seed: Seed

    @model_validator(mode="after")
    def _groups_have_one_meaning(self):
        if self.group_column is not None and self.group_regex is not None:
            raise ValueError(
                f"group_column '{self.group_column}' and group_regex '{self.group_regex}' are both set; set one to null"
            )
        if self.group_regex is not None:
            try:
                groups = re.compile(self.group_regex).groups
            except re.error as error:
                raise ValueError(f"group_regex '{self.group_regex}' is no regular expression ({error})") from None
            if groups != 1:
                raise ValueError(f"group_regex '{self.group_regex}' has {groups} groups in brackets; it needs one")
        return self

    @model_validator(mode="after")
    def _fold_is_one_of_the_folds(self):
        if self.folds is not None and self.fold >= self.folds:
            raise ValueError(f"fold {self.fold} is none of the {self.folds} folds, which count from 0")
        return self

    @model_validator(mode="after")
    def _something_is_left_to_train_on(self):
        if self.val_fraction + self.test_fraction >= 1:
            raise ValueError(
                f"val_fraction {self.val_fraction} + test_fraction {self.test_fraction} leaves nothing to train on; "
                "their sum must be below 1"
            )
        return self


class PackParams(Block):
    mode: Literal["arrays", "none"]
    image_size: Annotated[list[Count], Field(min_length=2, max_length=2)]
    channels: Literal[1, 3]
    fit: Literal["crop", "stretch"]
    margin: Annotated[float, Field(ge=0, le=1)]
    trim_bars: bool
    workers: CountOrAuto


class AugmentParams(Block):
    hflip: Fraction
    degrees: Annotated[float, Field(ge=0, le=180)]
    scale: Rate
    translate: Rate
    shear: Annotated[float, Field(ge=0, le=60)]
    brightness: Rate
    contrast: Rate
    saturation: Rate
    erasing: Fraction
    trivial: Fraction
    mixup: NonNegative
    cutmix: NonNegative


class TrainParams(Block):
    epochs: Count
    patience: Count | None
    init_from: Named | None
    frozen_layers: Annotated[int, Field(ge=0)]
    batch_size: Count
    grad_accum_steps: Count
    optimizer: Literal["adamw", "muon"]
    lr: Positive
    min_lr: NonNegative
    warmup_epochs: NonNegative
    weight_decay: NonNegative
    layer_decay: Annotated[float, Field(gt=0, le=1)]
    betas: Annotated[list[Rate], Field(min_length=2, max_length=2)]
    clip_grad: Positive | None
    label_smoothing: Rate
    teacher: Named | None
    distillation: Literal["none", "soft", "hard"]
    distillation_alpha: Annotated[float, Field(gt=0, lt=1)]
    distillation_temperature: Positive
    ema_decay: Annotated[float, Field(gt=0, lt=1)] | None
    augment: AugmentParams
    seed: Seed
    checkpoint_steps: Count | None
    launcher: Annotated[str, Field(pattern=r"^(python|torchrun( [^;&|<>`$()\\]+)?)$")]
    parallel: Literal["ddp", "fsdp"]
    device: Device
    precision: Literal["auto", "float32", "bfloat16", "float16"]
    attention: Literal["auto", "math", "fused"]
    grad_checkpointing: bool
    compile: bool
    threads: CountOrAuto

    @model_validator(mode="after")
    def _schedule_fits(self):
        if self.min_lr > self.lr:
            raise ValueError(f"min_lr {self.min_lr} must not exceed lr {self.lr}")
        if self.warmup_epochs > self.epochs:
            raise ValueError(f"warmup_epochs {self.warmup_epochs} must not exceed epochs {self.epochs}")
        return self

    @model_validator(mode="after")
    def _pieces_are_not_empty(self):
        if self.grad_accum_steps > self.batch_size:
            raise ValueError(f"grad_accum_steps {self.grad_accum_steps} must not exceed batch_size {self.batch_size}")
        return self

    @model_validator(mode="after")
    def _a_teacher_is_listened_to(self):
        if (self.distillation == "none") is not (self.teacher is None):
            raise ValueError(
                f"teacher {self.teacher} and distillation '{self.distillation}' contradict each other; set a teacher "
                "(a folder or file of a model, or models:/name/VERSION) with soft or hard, or null with none"
            )
        return self

    @model_validator(mode="after")
    def _shards_can_be_trained(self):
        if self.parallel == "fsdp" and (self.ema_decay is not None or self.optimizer == "muon"):
            raise ValueError("parallel 'fsdp' knows neither ema_decay nor optimizer 'muon'; use ddp, or null and adamw")
        return self


class EvaluateParams(Block):
    batch_size: Count
    device: Device
    confidence_level: Annotated[float, Field(gt=0, lt=1)]
    seed: Seed
    top_k: Count
    ece_bins: Count
    slices: list[Annotated[str, Field(min_length=1)]]
    questions: dict[str, Annotated[list[str], Field(min_length=1)]] | None
    invariance: list[Literal["hflip", "brightness", "shift", "jpeg"]]
    svc_baseline: bool
    explain_images: Annotated[int, Field(ge=0)]


class RegisterParams(Block):
    name: Annotated[str, Field(pattern=r"^[\w.-]+$")]
    confidence: Annotated[float, Field(gt=0, lt=1)]
    margin: Rate
    min_images: Count
    min_accuracy: Fraction | None
    max_ece: Fraction | None
    max_leakage: Fraction | None
    max_rows: Count
    max_bytes: Count
    max_pixels: Count
    precision: Literal["float32", "bfloat16"]


class Params(Block):
    data: DataParams
    split: SplitParams
    pack: PackParams
    model: ModelParams
    train: TrainParams
    evaluate: EvaluateParams
    register_: Annotated[RegisterParams, Field(alias="register")]

    @model_validator(mode="after")
    def _patches_tile_the_image(self):
        if self.model.name == "vit" and any(side % self.model.patch_size for side in self.pack.image_size):
            raise ValueError(
                f"pack.image_size {self.pack.image_size} is not a multiple of model.patch_size {self.model.patch_size}"
            )
        return self

    @model_validator(mode="after")
    def _what_needs_blocks_is_off_without_them(self):
        for key, off in OF_BLOCKS.items():
            value = getattr(self.train, key)
            if self.model.name != "vit" and value != off:
                raise ValueError(
                    f"train.{key} {str(value).lower()} needs the blocks of model.name vit, which {self.model.name} has "
                    f"not; set it to {str(off).lower()}"
                )
        return self

    @model_validator(mode="after")
    def _something_is_trained(self):
        if self.model.name == "vit" and self.train.frozen_layers > self.model.depth + 1:
            raise ValueError(
                f"train.frozen_layers {self.train.frozen_layers} would freeze the head, too; patches and "
                f"{self.model.depth} blocks are {self.model.depth + 1} layers"
            )
        return self
