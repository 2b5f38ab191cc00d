"""The loss: from labels only, or from labels and a teacher's predictions.

Touvron et al. 2021, "Training data-efficient image transformers & distillation through attention" (DeiT), section 4;
Hinton et al. 2015, "Distilling the Knowledge in a Neural Network", where the student has one head.
"""

import logging
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vit.config.files import CONFIG, WEIGHTS
from vit.config.model import family_named
from vit.config.schema import ModelParams, TrainParams
from vit.errors import UserError
from vit.files import read_json
from vit.inference.classifier import Classifier
from vit.models.vision_transformer import set_fused_attention

log = logging.getLogger("vit")

NAMED = 5  # most classes listed in a message


def student_settings(model: ModelParams, train: TrainParams) -> dict:
    """The settings of the model to train: section `model`, with a distillation token if there is a teacher."""
    is_distilled = train.distillation != "none" and family_named(model.name).has_distillation_token
    return model.model_dump() | ({"distilled": True} if is_distilled else {})


@dataclass(frozen=True)
class Teacher:
    """A trained model, with the conversion from the student's normalization and to the student's class order."""

    model: nn.Module
    scale: Tensor  # (C, 1, 1)
    shift: Tensor  # (C, 1, 1)
    order: Tensor  # (K,), the teacher's index of each class of the student

    @classmethod
    def load(cls, folder: Path, student: Classifier) -> "Teacher":
        """The model in `folder`, on the student's device. Raises UserError if its classes or images differ."""
        if not (folder / CONFIG).is_file():
            raise UserError(
                f"the teacher in {folder} has no {CONFIG}, which holds its classes, image size and normalization; set "
                f"train.teacher to a {WEIGHTS} with its {CONFIG} beside it, or to models:/NAME/VERSION"
            )
        check_fits(read_json(folder / CONFIG), student.config)
        teacher = Classifier.load(folder, student.device)
        set_fused_attention(teacher.model, student.config["compute"]["attention"] == "fused")
        means, deviations = (
            torch.tensor([theirs, ours], dtype=torch.float64)
            for theirs, ours in ((teacher.mean, student.mean), (teacher.std, student.std))
        )
        scale, shift = deviations[1] / deviations[0], (means[1] - means[0]) / deviations[0]
        scale, shift = (values.float().to(student.device)[:, None, None] for values in (scale, shift))
        return cls(
            teacher.model.eval().requires_grad_(False),
            scale,
            shift,
            torch.tensor([teacher.classes.index(name) for name in student.classes], device=student.device),
        )

    def introduce(self, train: TrainParams) -> None:
        """Log the teacher, and warn if it was trained on other images, judged by their mean and deviation.

        The student would inherit what the teacher knows about val or test images.
        """
        size = sum(parameter.numel() for parameter in self.model.parameters()) / 1e6
        log.info(f"{train.distillation} distillation from {train.teacher}, {size:.2f} M parameters")
        if self.shift.any() or (self.scale != 1).any():
            log.warning(
                "the teacher was trained on other images, because their mean or deviation differs; if val or test "
                "images were among them, this model's scores are too high"
            )

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        """The teacher's logits (B, K) in the student's class order, for the student's input (B, C, H, W)."""
        return self.model(x * self.scale + self.shift).float()[:, self.order]


def check_fits(teacher: dict, student: dict) -> None:
    """Raises UserError unless both config.json have the same classes and image shape."""
    for name in ("image_size", "channels"):
        if teacher[name] != student[name]:
            raise UserError(
                f"the teacher's {name} is {teacher[name]}, but pack.{name} is {student[name]}; both must see the same "
                f"images: set pack.{name} to {teacher[name]}, or choose another teacher"
            )
    theirs, ours = teacher["classes"], student["classes"]
    if not theirs:
        raise UserError(f"the teacher does not name its classes; choose a classifier with these {len(ours)} classes")
    if set(theirs) != set(ours):
        raise UserError(
            f"the teacher has different classes: it has {_some(theirs, without=ours)}, which the data lacks, and lacks "
            f"{_some(ours, without=theirs)}, which the data has; choose a teacher with these {len(ours)} classes"
        )


def _some(names: list[str], without: list[str]) -> str:
    missing = [name for name in names if name not in set(without)]
    more = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
    return (", ".join(f"'{name}'" for name in missing[:NAMED]) + more) or "none"


def training_loss(
    logits: Tensor, targets: Tensor, taught: Tensor | None, train: TrainParams, class_weights: Tensor | None = None
) -> Tensor:
    """The sum over images of the loss of `logits`, (B, K) or (2, B, K) of the labels' and the teacher's head.

    `targets` are labels (B,) or probabilities (B, K), `taught` the teacher's logits (B, K) for the same images, or None
    without one. With a share alpha for the teacher (DeiT, equations 2 and 3; KL as Hinton has it, from the teacher):
    hard: (1 - alpha) CE(labels) + alpha CE(the teacher's predicted class, never smoothed);
    soft: (1 - alpha) CE(labels) + alpha T^2 KL(softmax(teacher / T), softmax(student / T)).
    DeiT's published code also divides its KL by K; here it is the paper's.
    With `class_weights` (K,) the whole loss of an image counts by the weight of its class, of mixed images by the mean
    of their weights; smoothing and teacher are weighted with it, so that no rare class is smoothed into all others.
    """
    reduction = "sum" if class_weights is None else "none"
    by_label, by_teacher = logits if logits.ndim == 3 else (logits, logits)
    of_labels = F.cross_entropy(by_label, targets, label_smoothing=train.label_smoothing, reduction=reduction)
    if taught is None:
        return _weighted(of_labels, targets, class_weights)
    if train.distillation == "hard":
        of_teacher = F.cross_entropy(by_teacher, taught.argmax(dim=1), reduction=reduction)
    else:
        T = train.distillation_temperature
        said, meant = ((one / T).log_softmax(dim=1) for one in (by_teacher, taught))
        of_teacher = T**2 * F.kl_div(said, meant, reduction=reduction, log_target=True)
        of_teacher = of_teacher if class_weights is None else of_teacher.sum(dim=1)
    both = (1 - train.distillation_alpha) * of_labels + train.distillation_alpha * of_teacher
    return _weighted(both, targets, class_weights)


def _weighted(losses: Tensor, targets: Tensor, class_weights: Tensor | None) -> Tensor:
    """The sum of losses (B,), each by the weight of its target; without weights they are summed already."""
    if class_weights is None:
        return losses
    weights = class_weights[targets] if targets.ndim == 1 else targets @ class_weights
    return (weights * losses).sum()


def combined_logits(logits: Tensor) -> Tensor:
    """The model's prediction (B, K) from its logits in training: of two heads, (2, B, K), the mean."""
    return logits.mean(dim=0) if logits.ndim == 3 else logits
