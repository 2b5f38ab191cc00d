"""The section `train`, with its subsection `augment`."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from vit.config.fields import (
    ChoosingMetric,
    Count,
    CountOrAuto,
    Device,
    Fraction,
    Named,
    NonNegative,
    Positive,
    Rate,
    Section,
    Seed,
    parameter,
)


class AugmentParams(Section):
    """what varies in a train image; 0 is off"""

    hflip: Fraction = parameter(0.0, "probability of mirroring left and right")
    degrees: Annotated[float, Field(ge=0, le=180)] = parameter(0.0, "rotation within +-", "degrees")
    scale: Rate = parameter(0.0, "size within 1 +-")
    translate: Rate = parameter(0.0, "shift within +-, as a share of each side")
    shear: Annotated[float, Field(ge=0, le=60)] = parameter(0.0, "shear within +-", "degrees")
    brightness: Rate = parameter(0.0, "factor within 1 +-")
    contrast: Rate = parameter(0.0, "factor within 1 +-")
    saturation: Rate = parameter(0.0, "factor within 1 +-")
    erasing: Fraction = parameter(0.0, "probability of a grey rectangle")
    trivial: Fraction = parameter(0.0, "probability of one strong change drawn from all (TrivialAugment)")
    mixup: NonNegative = parameter(0.0, "alpha of the Beta distribution")
    cutmix: NonNegative = parameter(0.0, "alpha of the Beta distribution; with mixup, half of the batches get either")


class TrainParams(Section):
    """-> stages/train.py"""

    epochs: Count = parameter(50, "passes over the train images", "epochs")
    patience: Count | None = parameter(None, "stop after so many without a better one; null: never", "epochs")
    select_by: ChoosingMetric = parameter(
        "accuracy",
        "val metric that picks the epoch to keep, for patience too; balanced_accuracy and macro_f1: every "
        "class counts the same",
    )
    init_from: Named | None = parameter(
        None, "weights to start from: a file in weights/, or models:/NAME/VERSION; null: none"
    )
    frozen_layers: Annotated[int, Field(ge=0)] = parameter(
        0, "lowest layers that stay as they are: 1: patches and positions; 2: also the first block"
    )
    batch_size: Count = parameter(64, "per optimizer step, of all processes together", "images")
    sampler: Literal["shuffle", "balanced"] = parameter(
        "shuffle", "shuffle: every train image once an epoch; balanced: every class equally often, for rare classes"
    )
    grad_accum_steps: Count = parameter(1, "micro-batches that a batch is computed in, for less memory")
    optimizer: Literal["adamw", "muon"] = parameter("adamw", "muon: for the matrices of the blocks, AdamW for the rest")
    lr: Positive = parameter(0.001, "peak learning rate")
    min_lr: NonNegative = parameter(0.0, "learning rate at the end of the cosine")
    warmup_epochs: NonNegative = parameter(5.0, "linear from 0", "epochs")
    weight_decay: NonNegative = parameter(0.05, "of matrices; never of biases, norms, tokens, positions")
    layer_decay: Annotated[float, Field(gt=0, le=1)] = parameter(
        1.0, "factor on the learning rate per layer below the head; 1: none"
    )
    betas: Annotated[list[Rate], Field(min_length=2, max_length=2)] = parameter([0.9, 0.999], "of AdamW")
    clip_grad: Positive | None = parameter(1.0, "largest gradient norm; null: no clipping")
    label_smoothing: Rate = parameter(0.1, "share of the target spread over all classes")
    class_weights: Literal["none", "balanced", "effective"] = parameter(
        "none", "weight of an image in the loss; balanced: 1 / images of its class; effective: less steep (beta 0.999)"
    )
    teacher: Named | None = parameter(None, "a model to learn from, named as in init_from; null: none")
    distillation: Literal["none", "soft", "hard"] = parameter(
        "none", "soft: the teacher's probabilities; hard: its prediction; a ViT learns it by a token of its own"
    )
    distillation_alpha: Annotated[float, Field(gt=0, lt=1)] = parameter(
        0.5, "the teacher's share of the loss; DeiT: 0.5 hard, 0.1 soft"
    )
    distillation_temperature: Positive = parameter(3.0, "soft: of the probabilities")
    ema_decay: Annotated[float, Field(gt=0, lt=1)] | None = parameter(
        None, "of the moving average of the weights, which val judges; null: none"
    )
    augment: AugmentParams = AugmentParams()
    seed: Seed = parameter(0, "of initial weights, order, augmentation and dropout")
    checkpoint_steps: Count | None = parameter(None, "also keep the state after so many; null: after epochs", "steps")
    launcher: Annotated[str, Field(pattern=r"^(python|torchrun( [^;&|<>`$()\\]+)?)$")] = parameter(
        "python", "python | torchrun --nproc-per-node 2, with any of torchrun's options"
    )
    parallel: Literal["ddp", "fsdp"] = parameter("ddp", "of several processes; fsdp also divides the weights")
    device: Device = parameter("auto", "auto | cpu | cuda | cuda:1 | mps | xpu; auto: the accelerator there is")
    precision: Literal["auto", "float32", "bfloat16", "float16"] = parameter("auto", "of matrix products in training")
    attention: Literal["auto", "math", "fused"] = parameter("auto", "attention kernel")
    grad_checkpointing: bool = parameter(False, "true: compute blocks twice, for less memory")
    compile: bool = parameter(False, "true: torch.compile, which takes a minute and pays off in long trainings")
    threads: CountOrAuto = parameter("auto", "CPU threads; auto: all cores (1 and 2 threads give different last bits)")

    @model_validator(mode="after")
    def _schedule_fits(self):
        if self.min_lr > self.lr:
            raise ValueError(f"min_lr {self.min_lr} must not exceed lr {self.lr}")
        if self.warmup_epochs > self.epochs:
            raise ValueError(f"warmup_epochs {self.warmup_epochs} must not exceed epochs {self.epochs}")
        return self

    @model_validator(mode="after")
    def _micro_batches_are_not_empty(self):
        if self.grad_accum_steps > self.batch_size:
            raise ValueError(f"grad_accum_steps {self.grad_accum_steps} must not exceed batch_size {self.batch_size}")
        return self

    @model_validator(mode="after")
    def _classes_are_balanced_once(self):
        if self.sampler == "balanced" and self.class_weights != "none":
            raise ValueError(
                f"sampler 'balanced' and class_weights '{self.class_weights}' would balance the classes twice; set "
                "class_weights to none, or sampler to shuffle"
            )
        return self

    @model_validator(mode="after")
    def _a_teacher_is_used(self):
        if (self.distillation == "none") is not (self.teacher is None):
            raise ValueError(
                f"teacher {self.teacher} and distillation '{self.distillation}' contradict each other; set a teacher "
                "(a folder or file of a model, or models:/name/VERSION) with soft or hard, or null with none"
            )
        return self

    @model_validator(mode="after")
    def _shards_can_be_trained(self):
        if self.parallel == "fsdp" and (self.ema_decay is not None or self.optimizer == "muon"):
            raise ValueError(
                "parallel 'fsdp' supports neither ema_decay nor optimizer 'muon'; use ddp, or null and adamw"
            )
        return self
