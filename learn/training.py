"""Trainings of a chapter: the pipeline's own batches, step, optimizers and schedule, without its files."""

from collections.abc import Callable

import torch
from torch import Tensor

from learn.digits import params
from vit.config.schema import ModelParams, TrainParams
from vit.data.batches import Packed
from vit.inference.classifier import Classifier
from vit.training.device import apply, choose
from vit.training.distributed import World
from vit.training.feed import Feed
from vit.training.loop import evaluate, steps_per_epoch
from vit.training.optim import learning_rate
from vit.training.step import TrainingStep


def recipe(**changes) -> TrainParams:
    """Section `train` of the preset `digits` with some of its values changed, on one core of the CPU.

    On tensors this small, a second thread that has to wait for a busy core costs many times what it gains.
    """
    return TrainParams.model_validate(params().train.model_dump() | {"device": "cpu", "threads": 1} | changes)


def fit(
    classifier: Classifier,
    part: Packed,
    train: TrainParams,
    steps: int,
    watch: Callable[[int], None] = lambda step: None,
) -> list[float]:
    """Train for `steps` optimizer steps, and return the loss of each; the schedule ends with them, not with
    `train.epochs`.

    `watch` is called with the number of steps done: before each step, and at the end.
    """
    epochs = -(-steps // steps_per_epoch(len(part), train.batch_size))
    train = train.model_copy(update={"epochs": epochs})
    model = ModelParams.model_validate(classifier.config["model"])
    compute, _ = choose(train, model, classifier.config["image_size"], World())
    apply(compute)
    step, feed = TrainingStep(classifier.model, train, compute, World()), Feed(classifier, part, train, World())
    losses: list[float] = []
    for epoch in range(epochs):
        for images, micro_batches in feed.epoch(epoch):
            if len(losses) == steps:
                break
            watch(len(losses))
            step.set_training()
            rate = learning_rate(len(losses), steps / epochs, train)
            losses.append((step(micro_batches, images, rate)[0] / images).item())
    classifier.model.eval()
    watch(steps)
    return losses


def accuracy(classifier: Classifier, part: Packed) -> float:
    """The share of correct predictions, in [0, 1], computed as the pipeline does."""
    return evaluate(classifier, part, 256, World()).accuracy


def per_step(losses: list[float], over: int = 20) -> Tensor:
    """Each loss averaged with those of up to `over` - 1 steps before, for a curve that an eye can follow."""
    ends = torch.arange(1, len(losses) + 1)
    starts = (ends - over).clamp(min=0)
    sums = torch.cat([torch.zeros(1), torch.tensor(losses).cumsum(0)])
    return (sums[ends] - sums[starts]) / (ends - starts)
