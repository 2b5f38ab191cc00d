"""The training loop: epochs of steps, each epoch evaluated on val and followed by a checkpoint."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from tqdm import tqdm

from vit.config.schema import TrainParams
from vit.data.decoded import Part
from vit.errors import UserError
from vit.inference.classifier import Classifier
from vit.inference.scores import COLUMNS, score
from vit.training.checkpoint import Checkpoints, Progress
from vit.training.distributed import World
from vit.training.feed import Feed
from vit.training.interruption import Interruption, interrupted
from vit.training.optim import learning_rate
from vit.training.step import TrainingStep

CHECKED_EVERY = 50  # steps on an accelerator, because a check has to wait for it
Note = Callable[[Progress, torch.Tensor], None]  # the progress, and the epoch's sums so far


def note_nothing(progress: Progress, sums: torch.Tensor) -> None:
    """For trainings that nobody watches."""


def fit(
    step: TrainingStep,
    feed: Feed,
    val_part: Part,
    progress: Progress,
    checkpoints: Checkpoints,
    show: Callable[[Progress], None],
    note: Note = note_nothing,
) -> None:
    """Train from `progress` to the end, calling `show` after the checkpoint of each epoch and `note` after each step.

    Raises UserError on a NaN or infinite loss, Interrupted on a signal.
    """
    train = feed.train
    progress.select_by = train.select_by
    judged, column = replace(feed.classifier, model=step.evaluated), COLUMNS[train.select_by]
    bar = new_bar(len(feed.part), train, progress, feed.world)
    ended = time.perf_counter()
    with Interruption() as interruption:
        while not is_over(progress, train):
            began, feed.waited = time.perf_counter(), 0.0
            steps_before = progress.steps
            sums = train_one_epoch(step, feed, progress, checkpoints, interruption, bar, note)
            step.share_statistics()
            stepped = time.perf_counter() - began
            val = evaluate(judged, val_part, 4 * train.batch_size, feed.world)
            row = {
                "epoch": len(progress.history) + 1,
                "train_loss": sums[0] / len(feed.part),
                "train_accuracy": sums[1] / len(feed.part),
                "val_loss": val.loss,
                "val_accuracy": val.accuracy,
            }
            if not math.isfinite(val.loss):
                raise diverged(f"the val loss of epoch {row['epoch']} is {val.loss}", progress, feed, checkpoints)
            chosen_by, error = val.score(train.select_by)
            row.setdefault(column, chosen_by)
            progress.history.append(row)
            progress.errors.append(error)
            progress.unfinished = None
            if progress.best is row:
                progress.best_weights = step.weights()
            now = time.perf_counter()
            images = min(len(feed.part), (progress.steps - steps_before) * train.batch_size)
            progress.clock.append(
                {
                    "time": time.time(),
                    "epoch_seconds": now - ended,
                    "images_per_second": images / stepped,
                    "input_wait_share": feed.waited / stepped,
                    "overhead_share": 1 - stepped / (now - ended),
                }
            )
            ended = now  # the checkpoint's time counts for the next epoch, because it already holds this one's
            bar.set_postfix({column: f"{row[column]:.4f}", "best": f"{progress.best[column]:.4f}"})
            checkpoints.save(progress, step)
            show(progress)
    bar.close()


def train_one_epoch(
    step: TrainingStep,
    feed: Feed,
    progress: Progress,
    checkpoints: Checkpoints,
    interruption: Interruption,
    bar: tqdm,
    note: Note = note_nothing,
) -> list[float]:
    """Train the rest of the current epoch; returns the sums of loss and of correct predictions over all its images.

    A mixed image counts as correct if the label with the larger share is predicted.
    """
    train, world, device = feed.train, feed.world, feed.classifier.device
    per_epoch = steps_per_epoch(len(feed.part), train.batch_size)
    epoch = len(progress.history)
    bar.set_description(f"epoch {epoch + 1}/{train.epochs}")
    step.set_training()
    sums = torch.zeros(2) if progress.unfinished is None else progress.unfinished[world.rank]
    sums = sums.to(device)
    check = 1 if device.type == "cpu" else CHECKED_EVERY
    for images, micro_batches in feed.epoch(epoch, done=progress.steps - epoch * per_epoch):
        sums = sums + step(micro_batches, images, learning_rate(progress.steps, per_epoch, train))
        progress.steps += 1
        bar.update()
        note(progress, sums)
        is_last = progress.steps == (epoch + 1) * per_epoch
        is_kept = train.checkpoint_steps is not None and progress.steps % train.checkpoint_steps == 0
        received = interruption.received
        if (is_last or is_kept or received or progress.steps % check == 0) and not sums.isfinite().all():
            raise diverged(f"the train loss is {sums[0].item()}", progress, feed, checkpoints)
        if (is_kept and not is_last) or (received and not world.is_group):
            progress.unfinished = world.gather(sums).cpu()
            checkpoints.save(progress, step)
        if received:
            raise interrupted(received, progress.steps, train.epochs * per_epoch)
    return world.sum(sums).tolist()


def diverged(what: str, progress: Progress, feed: Feed, checkpoints: Checkpoints) -> UserError:
    """An error with the step, the learning rate, the last good checkpoint and what to try."""
    train, number = feed.train, progress.steps
    rate = learning_rate(number - 1, steps_per_epoch(len(feed.part), train.batch_size), train)
    files = checkpoints.files()
    good = f"the last good checkpoint is {files[0]}" if files else "there is no checkpoint yet"
    return UserError(
        f"training diverged: {what} at step {number}, with a learning rate of {rate:.3g}; {good}; "
        f"lower train.lr ({train.lr}) or train.clip_grad ({train.clip_grad})"
    )


@dataclass(frozen=True)
class Evaluation:
    """Mean cross-entropy and accuracy; per image the label, the prediction and the cross-entropy, each (N,)."""

    loss: float
    accuracy: float
    labels: np.ndarray
    predictions: np.ndarray
    losses: np.ndarray
    classes: int

    def score(self, metric: str) -> tuple[float, float]:
        """`metric` and its standard error."""
        return score(metric, self.labels, self.predictions, self.losses, self.classes)


def evaluate(classifier: Classifier, part: Part, batch_size: int, world: World) -> Evaluation:
    """The model on a split, computed like the served model; each process takes a share."""
    sums, per_image = torch.zeros(2, dtype=torch.float64), torch.zeros(2, len(part), dtype=torch.float64)
    shares = [world.share(batch) for batch in torch.arange(len(part)).split(batch_size)]
    for chosen, (images, labels) in zip(shares, part.batches(shares, shares), strict=True):
        logits = classifier.logits(images)
        predictions, losses = logits.argmax(dim=1), F.cross_entropy(logits, labels, reduction="none")
        sums[0] += F.cross_entropy(logits, labels, reduction="sum")
        sums[1] += (predictions == labels).sum()
        per_image[:, chosen] = torch.stack([predictions.double(), losses.double()])
    if world.is_group:
        sums, per_image = (world.sum(values.to(classifier.device)).cpu() for values in (sums, per_image))
    loss, correct = sums.tolist()
    predictions, losses = per_image.numpy()
    return Evaluation(
        loss=loss / len(part),
        accuracy=correct / len(part),
        labels=part.labels.numpy(),
        predictions=predictions.astype(np.int64),
        losses=losses,
        classes=len(classifier.classes),
    )


def rates_of(progress: Progress, feed: Feed) -> list[float]:
    """The learning rates of all completed steps."""
    per_epoch = steps_per_epoch(len(feed.part), feed.train.batch_size)
    return [learning_rate(number, per_epoch, feed.train) for number in range(progress.steps)]


def is_over(progress: Progress, train: TrainParams) -> bool:
    """Whether all epochs are done, or early stopping applies (`patience` epochs without a higher val accuracy)."""
    done = len(progress.history)
    has_lost_patience = train.patience is not None and done > 0 and done - progress.leader["epoch"] >= train.patience
    return done >= train.epochs or has_lost_patience


def steps_per_epoch(images: int, batch_size: int) -> int:
    return math.ceil(images / batch_size)


def new_bar(images: int, train: TrainParams, progress: Progress, world: World) -> tqdm:
    """A progress bar over all optimizer steps, starting at `progress`; hidden outside a terminal."""
    steps = train.epochs * steps_per_epoch(images, train.batch_size)
    return tqdm(total=steps, initial=progress.steps, unit="step", disable=None if world.is_first else True)
