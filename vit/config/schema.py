"""The complete params.yaml, typed, with the checks that involve two sections."""

from typing import Annotated

from pydantic import Field, model_validator

from vit.config.data import DataParams, SplitParams
from vit.config.evaluate import EvaluateParams
from vit.config.fields import Section
from vit.config.model import ModelParams, family_named
from vit.config.pack import PackParams
from vit.config.pretrain import PretrainParams
from vit.config.register import RegisterParams
from vit.config.train import AugmentParams, TrainParams

__all__ = [
    "AugmentParams",
    "DataParams",
    "EvaluateParams",
    "ModelParams",
    "PackParams",
    "Params",
    "PretrainParams",
    "RegisterParams",
    "SplitParams",
    "TrainParams",
]

# Keys of section train that need a capability of the model: the property of its family, and the value that means off.
NEEDS = {
    "layer_decay": ("has_layers", 1.0),
    "frozen_layers": ("has_layers", 0),
    "parallel": ("can_be_sharded", "ddp"),
    "attention": ("has_attention", "auto"),
    "grad_checkpointing": ("can_recompute", False),
}


class Params(Section):
    """The sections of params.yaml, by name."""

    data: DataParams = DataParams()
    split: SplitParams = SplitParams()
    pack: PackParams = PackParams()
    model: ModelParams = ModelParams()
    pretrain: PretrainParams = PretrainParams()
    train: TrainParams = TrainParams()
    evaluate: EvaluateParams = EvaluateParams()
    register_: Annotated[RegisterParams, Field(alias="register")] = RegisterParams()

    @model_validator(mode="after")
    def _images_suit_the_model(self):
        family_named(self.model.name).check_image_size(self.model, self.pack.image_size)
        return self

    @model_validator(mode="after")
    def _shards_are_read_one_after_another(self):
        if self.pack.mode == "shards" and self.train.sampler == "balanced":
            raise ValueError(
                "train.sampler balanced needs all of train at hand, which pack.mode shards does not have; set "
                "train.class_weights to balanced and sampler to shuffle, or pack.mode to arrays"
            )
        return self

    @model_validator(mode="after")
    def _the_model_has_what_its_training_needs(self):
        family = family_named(self.model.name)
        for key, (needed, off) in NEEDS.items():
            value = getattr(self.train, key)
            if value != off and not getattr(family, needed):
                raise ValueError(
                    f"train.{key} {str(value).lower()} is not supported for model.name {self.model.name}; set it to "
                    f"{str(off).lower()}"
                )
        return self

    @model_validator(mode="after")
    def _patches_can_be_hidden(self):
        if self.pretrain.epochs == 0:
            return self
        off = f"or pretrain.epochs, {self.pretrain.epochs}, to 0"
        if not family_named(self.model.name).can_hide_patches:
            raise ValueError(f"pretraining is not supported for model.name {self.model.name}; set it to vit, {off}")
        if self.model.stem != "patch":
            raise ValueError(
                f"model.stem '{self.model.stem}' mixes neighbouring patches before any is hidden, so that the encoder "
                f"would see what it has to predict; set it to patch, {off}"
            )
        patch, (height, width), ratio = self.model.patch_size, self.pack.image_size, self.pretrain.mask_ratio
        patches = (height // patch) * (width // patch)
        if patch == 1 or not 1 <= round(patches * (1 - ratio)) < patches:
            raise ValueError(
                f"pretrain.mask_ratio {ratio} must leave patches to see and patches of several pixels to predict, but "
                f"images of {height}x{width} pixels have {patches} of {patch}x{patch}; change it or model.patch_size, "
                f"{off}"
            )
        if self.pack.mode == "shards":
            raise ValueError(
                f"pretraining needs all train images at hand, which pack.mode shards has not; set it to arrays, {off}"
            )
        if self.train.init_head == "text":
            raise ValueError(
                "train.init_head text makes a head for the features of train.init_from, which pretraining changes; set "
                f"it to auto, {off}"
            )
        return self

    @model_validator(mode="after")
    def _something_is_trained(self):
        count = family_named(self.model.name).layers_below_the_head
        layers = count(self.model) if count else 0
        frozen = self.train.frozen_layers
        if isinstance(frozen, int) and frozen > layers:
            raise ValueError(
                f"train.frozen_layers {frozen} would also freeze the head; the patch embedding and "
                f"{layers - 1} blocks are {layers} layers; all freezes everything but the head"
            )
        return self
