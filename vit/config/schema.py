"""The complete params.yaml, typed, with the checks that involve two sections."""

from typing import Annotated

from pydantic import Field, model_validator

from vit.config.data import DataParams, SplitParams
from vit.config.evaluate import EvaluateParams
from vit.config.fields import Section
from vit.config.model import ModelParams, family_named
from vit.config.pack import PackParams
from vit.config.register import RegisterParams
from vit.config.train import AugmentParams, TrainParams

__all__ = [
    "AugmentParams",
    "DataParams",
    "EvaluateParams",
    "ModelParams",
    "PackParams",
    "Params",
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
