"""Trainings with a teacher: those of learn/training.py with the pipeline's loss for two kinds of targets."""

import tempfile
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from vit.config.schema import ModelParams, TrainParams
from vit.data.batches import Packed
from vit.evaluation.explain import model_input
from vit.inference.classifier import Classifier
from vit.models.vision_transformer import VisionTransformer
from vit.training.device import apply, choose
from vit.training.distillation import Teacher
from vit.training.distributed import World
from vit.training.feed import Feed
from vit.training.loop import steps_per_epoch
from vit.training.optim import learning_rate
from vit.training.step import TrainingStep


def as_teacher(classifier: Classifier, student: Classifier) -> Teacher:
    """A trained model as the pipeline loads a teacher: from its files."""
    with tempfile.TemporaryDirectory() as folder:
        classifier.save(Path(folder), classifier.model.state_dict())
        return Teacher.load(Path(folder), student)


def teach(student: Classifier, part: Packed, train: TrainParams, steps: int, teacher: Teacher) -> None:
    """Train for `steps` optimizer steps on labels and on what the teacher says to the same augmented images."""
    per_epoch = steps_per_epoch(len(part), train.batch_size)
    train = train.model_copy(update={"epochs": -(-steps // per_epoch)})
    settings = {name: value for name, value in student.config["model"].items() if name != "distilled"}
    compute, _ = choose(train, ModelParams.model_validate(settings), student.config["image_size"], World())
    apply(compute)
    step, feed = TrainingStep(student.model, train, compute, World(), teacher), Feed(student, part, train, World())
    batches = (batch for epoch in range(train.epochs) for batch in feed.epoch(epoch))
    for number, (images, micro_batches) in zip(range(steps), batches, strict=False):
        step.set_training()
        step(micro_batches, images, learning_rate(number, steps / train.epochs, train))
    student.model.eval()


@torch.no_grad()
def heads(student: Classifier, images: Tensor) -> Tensor:
    """Logits of both heads of a model with a distillation token, the labels' first: uint8 (B, H, W, C) to (2, B, K)."""
    student.model.train()
    both = student.model(model_input(student, images))
    student.model.eval()
    return both


@torch.no_grad()
def token_cosines(model: VisionTransformer, x: Tensor) -> list[float]:
    """Cosine between class and distillation token, before the first block and after each, averaged over images."""
    x, cosines = model.embed(x), []
    for block in (torch.nn.Identity(), *model.blocks):
        x = block(x)
        cosines.append(F.cosine_similarity(x[:, 0], x[:, model.dist_index], dim=1).mean().item())
    return cosines
