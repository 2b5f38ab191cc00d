"""The section `train`, with its subsection `augment`."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from vit.config.fields import (
    ChoosingMetric,
    Count,
    CountOrAuto,
    Device,
    Fraction,
    LayersOrAll,
    Named,
    NonNegative,
    Positive,
    Rate,
    Section,
    Seed,
    parameter,
)


class AugmentParams(Section):
    """random changes of train images; 0: off"""

    hflip: Fraction = parameter(0.0, "probability of a horizontal flip")
    degrees: Annotated[float, Field(ge=0, le=180)] = parameter(0.0, "rotation by up to +- this angle", "degrees")
    scale: Rate = parameter(0.0, "resize by a factor within 1 +- this value")
    translate: Rate = parameter(0.0, "shift by up to +- this share of each side")
    shear: Annotated[float, Field(ge=0, le=60)] = parameter(0.0, "shear by up to +- this angle", "degrees")
    brightness: Rate = parameter(0.0, "factor within 1 +- this value")
    contrast: Rate = parameter(0.0, "factor within 1 +- this value")
    saturation: Rate = parameter(0.0, "factor within 1 +- this value")
    erasing: Fraction = parameter(0.0, "probability of covering a random rectangle with grey")
    trivial: Fraction = parameter(0.0, "probability of one strong, randomly chosen operation (TrivialAugment)")
    mixup: NonNegative = parameter(0.0, "alpha of its Beta distribution")
    cutmix: NonNegative = parameter(0.0, "alpha of its Beta distribution; with mixup, each batch gets one of the two")


class TrainParams(Section):
    """-> stages/train.py"""

    epochs: Count = parameter(50, "passes over the train images", "epochs")
    patience: Count | None = parameter(
        None, "early stopping: epochs without a better val score by select_by; null: off", "epochs"
    )
    select_by: ChoosingMetric = parameter(
        "accuracy",
        "val metric that decides which epoch is kept; balanced_accuracy and macro_f1: every class counts the same",
    )
    init_from: Named | None = parameter(
        None,
        "initial weights: hf-hub:OWNER/NAME@COMMIT, torchvision:NAME, a file in weights/, or models:/NAME/VERSION; "
        "null: random",
    )
    init_head: Literal["auto", "text"] = parameter(
        "auto",
        "auto: the head of init_from if its classes are the same, else random; text: the class names, embedded by the "
        "text tower of the CLIP or SigLIP pair that init_from names",
    )
    head_templates: Annotated[list[Annotated[str, Field(pattern=r"^[^{}]*\{\}[^{}]*$")]], Field(min_length=1)] = (
        parameter(
            ["a photo of a {}."], "init_head text: sentences for the class name {}, whose embeddings are averaged"
        )
    )
    frozen_layers: LayersOrAll = parameter(
        0,
        "lowest layers that are not trained; 1: patch and position embeddings; 2: also the first block; all: only the "
        "head is trained, on features that stage features computes once",
    )
    feature_variations: Annotated[int, Field(ge=0)] = parameter(
        3,
        "frozen_layers all with augment: augmented versions of each train image, beside the image itself, that epochs "
        "take turns with",
    )
    batch_size: Count = parameter(64, "per optimizer step, over all processes", "images")
    sampler: Literal["shuffle", "balanced"] = parameter(
        "shuffle", "shuffle: every train image once per epoch; balanced: every class equally often, for rare classes"
    )
    cache_gb: Positive = parameter(
        10.0, "pack.mode shards: size of the local cache of all processes; train that fits is shuffled as a whole", "GB"
    )
    grad_accum_steps: Count = parameter(1, "micro-batches per optimizer step; more need less memory")
    optimizer: Literal["adamw", "muon"] = parameter("adamw", "muon: Muon for the blocks' matrices, AdamW for the rest")
    lr: Positive = parameter(0.001, "peak learning rate")
    min_lr: NonNegative = parameter(0.0, "learning rate at the end of the cosine schedule")
    warmup_epochs: NonNegative = parameter(5.0, "linear warm-up from 0", "epochs")
    weight_decay: NonNegative = parameter(
        0.05, "for matrices only, not for biases, norms, tokens or position embeddings"
    )
    layer_decay: Annotated[float, Field(gt=0, le=1)] = parameter(
        1.0, "learning-rate factor per layer below the head; 1: off"
    )
    betas: Annotated[list[Rate], Field(min_length=2, max_length=2)] = parameter(
        [0.9, 0.999], "AdamW's decay rates of the gradient averages"
    )
    clip_grad: Positive | None = parameter(1.0, "gradient norm to clip to; null: no clipping")
    label_smoothing: Rate = parameter(0.1, "share of the target that is spread evenly over all classes")
    class_weights: Literal["none", "balanced"] = parameter(
        "none", "weight of an image in the loss; balanced: inverse to the number of images of its class"
    )
    teacher: Named | None = parameter(None, "model to distil from, named as in init_from; null: none")
    distillation: Literal["none", "soft", "hard"] = parameter(
        "none",
        "none: off; soft: match the teacher's probabilities; hard: its predicted class; a ViT gets an extra token",
    )
    distillation_alpha: Annotated[float, Field(gt=0, lt=1)] = parameter(
        0.5, "weight of the teacher's loss; DeiT uses 0.5 for hard, 0.1 for soft"
    )
    distillation_temperature: Positive = parameter(3.0, "soft: temperature of both models' probabilities")
    ema_decay: Annotated[float, Field(gt=0, lt=1)] | None = parameter(
        None, "decay of the moving average of the weights, which val evaluates in their place; null: off"
    )
    augment: AugmentParams = AugmentParams()
    seed: Seed = parameter(0, "seed of initial weights, image order, augmentation and dropout")
    checkpoint_steps: Count | None = parameter(
        None, "extra checkpoints, this many steps apart; null: only after each epoch", "steps"
    )
    launcher: Annotated[str, Field(pattern=r"^(python|torchrun( [^;&|<>`$()\\]+)?)$")] = parameter(
        "python", "python | torchrun --nproc-per-node 2, or with any other options of torchrun"
    )
    parallel: Literal["ddp", "fsdp"] = parameter(
        "ddp", "for several processes; ddp: each holds the whole model; fsdp: the model is sharded over them"
    )
    device: Device = parameter("auto", "auto | cpu | cuda | cuda:1 | mps | xpu; auto: an accelerator if there is one")
    precision: Literal["auto", "float32", "bfloat16", "float16"] = parameter(
        "auto", "precision of matrix products in training"
    )
    attention: Literal["auto", "math", "fused"] = parameter("auto", "attention kernel")
    grad_checkpointing: bool = parameter(False, "true: recompute activations in the backward pass, to save memory")
    compile: bool = parameter(False, "true: use torch.compile, which takes a minute and pays off in long trainings")
    threads: CountOrAuto = parameter(
        "auto", "CPU threads; auto: all cores; another number changes the last bits of the weights"
    )

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
    def _a_head_of_text_has_a_text_tower(self):
        if self.init_head != "text":
            return self
        if self.init_from is None or not self.init_from.startswith(("hf-hub:", "weights/")):
            raise ValueError(
                f"init_head text needs the text tower of a CLIP or SigLIP pair, which init_from {self.init_from} has "
                "not; set init_from to hf-hub:OWNER/NAME@COMMIT or a folder in weights/, or init_head to auto"
            )
        if self.distillation != "none":
            raise ValueError(
                f"init_head text makes one head, but distillation '{self.distillation}' trains two; set distillation "
                "to none and teacher to null, or init_head to auto"
            )
        return self

    @model_validator(mode="after")
    def _features_replace_images(self):
        if self.frozen_layers != "all":
            return self
        for key, value, off in (
            ("augment.mixup", self.augment.mixup, 0.0),
            ("augment.cutmix", self.augment.cutmix, 0.0),
            ("distillation", self.distillation, "none"),
            ("parallel", self.parallel, "ddp"),
        ):
            if value != off:
                raise ValueError(
                    f"frozen_layers all trains the head on stored features, which {key} {value} does not support; set "
                    f"{key} to {off}"
                )
        return self

    @model_validator(mode="after")
    def _shards_can_be_trained(self):
        if self.parallel == "fsdp" and (self.ema_decay is not None or self.optimizer == "muon"):
            raise ValueError(
                "parallel 'fsdp' supports neither ema_decay nor optimizer 'muon'; use ddp, or null and adamw"
            )
        return self
