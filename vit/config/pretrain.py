"""The section `pretrain`: masked autoencoding on images without labels."""

from typing import Annotated

from pydantic import Field, model_validator

from vit.config.fields import Count, NonNegative, Positive, Section, parameter


class PretrainParams(Section):
    """-> stages/pretrain.py; seed, device, precision, threads and the geometric augmentation are those of train"""

    epochs: Annotated[int, Field(ge=0)] = parameter(
        0, "passes over the images in unlabelled/ and the train images; 0: off", "epochs"
    )
    batch_size: Count = parameter(128, "per optimizer step", "images")
    lr: Positive = parameter(0.0015, "peak learning rate")
    warmup_epochs: NonNegative = parameter(1.0, "linear warm-up from 0, before a cosine down to 0", "epochs")
    weight_decay: NonNegative = parameter(0.05, "for matrices only")
    mask_ratio: Annotated[float, Field(gt=0, lt=1)] = parameter(
        0.75, "share of the patches that are hidden from the encoder, and predicted"
    )
    decoder_dim: Count = parameter(64, "width of the decoder, which is dropped afterwards; a multiple of 4")
    decoder_depth: Count = parameter(2, "number of blocks of the decoder")

    @model_validator(mode="after")
    def _schedule_fits(self):
        if self.epochs and self.warmup_epochs > self.epochs:
            raise ValueError(f"warmup_epochs {self.warmup_epochs} must not exceed epochs {self.epochs}")
        return self

    @model_validator(mode="after")
    def _decoder_has_heads_and_positions(self):
        if self.decoder_dim % 4:
            raise ValueError(f"decoder_dim {self.decoder_dim} must be a multiple of 4, for its 4 heads and positions")
        return self
