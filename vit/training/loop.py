"""The training loop: every random draw is a function of the seed, the epoch and the step."""

import math
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from vit.data.augment import augment, mix
from vit.data.decoded import Part
from vit.errors import UserError
from vit.inference import Classifier
from vit.params import AugmentParams, TrainParams
from vit.training.checkpoint import Progress
from vit.training.device import Compute
from vit.training.optim import learning_rate


def fit(
    classifier: Classifier,
    optimizer: torch.optim.Optimizer,
    train_part: Part,
    val_part: Part,
    train: TrainParams,
    compute: Compute,
    progress: Progress,
    after_epoch: Callable[[Progress], None],
) -> None:
    """Train from where `progress` stands to `train.epochs`, calling `after_epoch` after each.

    Raises UserError if the loss stops being finite.
    """
    bar = new_bar(len(train_part), train, progress)
    while len(progress.history) < train.epochs:
        began = time.time()
        row, waited = train_one_epoch(classifier, optimizer, train_part, train, compute, progress, bar)
        trained = time.time()
        val_loss, val_accuracy = evaluate(classifier, val_part, 4 * train.batch_size)
        if not math.isfinite(row["train_loss"] + val_loss):
            raise UserError(
                f"the training diverged in epoch {row['epoch']} (train loss {row['train_loss']}, val loss {val_loss}); "
                f"lower train.lr ({train.lr}) or train.clip_grad ({train.clip_grad})"
            )
        progress.history.append({**row, "val_loss": val_loss, "val_accuracy": val_accuracy})
        if progress.best is progress.history[-1]:
            state = classifier.model.state_dict()
            progress.best_weights = {name: weight.cpu().clone() for name, weight in state.items()}
        progress.clock.append(
            {
                "time": time.time(),
                "epoch_seconds": time.time() - began,
                "images_per_second": len(train_part) / (trained - began),
                "input_wait_share": waited / (trained - began),
            }
        )
        bar.set_postfix(val_accuracy=f"{val_accuracy:.4f}", best=f"{progress.best['val_accuracy']:.4f}")
        after_epoch(progress)
    bar.close()


def train_one_epoch(
    classifier: Classifier,
    optimizer: torch.optim.Optimizer,
    part: Part,
    train: TrainParams,
    compute: Compute,
    progress: Progress,
    bar: tqdm,
) -> tuple[dict[str, float], float]:
    """The next pass over `part`; adds each step's learning rate.

    Returns epoch, train_loss and train_accuracy (against the label of the larger share, where labels are mixed), and
    the seconds from optimizer steps to the next batch being ready: of the host, which never waits for an accelerator.
    """
    model, device = classifier.model, classifier.device
    epoch, rates = len(progress.history), progress.learning_rates
    bar.set_description(f"epoch {epoch + 1}/{train.epochs}")
    draws = torch.Generator().manual_seed(_seed(train.seed, epoch))
    torch.manual_seed(_seed(train.seed, epoch))
    model.train()
    steps = steps_per_epoch(len(part), train.batch_size)
    loss_sum, correct = torch.zeros((), device=device), torch.zeros((), device=device)
    x, waited, stepped = None, 0.0, time.perf_counter()
    for images, labels in part.shuffled(train.batch_size, draws):
        x, targets = model_input(classifier, images, labels, train.augment, draws, out=x)
        waited += time.perf_counter() - stepped
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(len(rates), steps, train)
        rates.append(optimizer.param_groups[0]["lr"])
        with torch.autocast(device.type, torch.bfloat16, enabled=compute.precision == "bf16"):
            logits = model(x).float()
        loss = F.cross_entropy(logits, targets, label_smoothing=train.label_smoothing)
        optimizer.zero_grad()
        loss.backward()
        if train.clip_grad is not None:
            nn.utils.clip_grad_norm_(model.parameters(), train.clip_grad)
        optimizer.step()
        loss_sum += loss.detach() * len(labels)
        correct += (logits.argmax(dim=1) == (targets.argmax(dim=1) if targets.ndim == 2 else targets)).sum()
        bar.update()
        stepped = time.perf_counter()
    row = {
        "epoch": epoch + 1,
        "train_loss": loss_sum.item() / len(part),
        "train_accuracy": correct.item() / len(part),
    }
    return row, waited


def model_input(
    classifier: Classifier,
    images: Tensor,
    labels: Tensor,
    settings: AugmentParams,
    draws: torch.Generator,
    out: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """A packed batch as the model is trained on it: normalized (B, C, H, W), and labels (B,) or, where images are
    mixed, probabilities (B, K). `out` as in `augment`."""
    device, size = classifier.device, tuple(classifier.config["image_size"])
    images, labels = images.to(device, non_blocking=True), labels.to(device, non_blocking=True)
    x = augment(images, size, classifier.mean, classifier.std, settings, draws, out)
    if settings.mixup or settings.cutmix:
        return mix(x, labels, len(classifier.classes), settings, draws)
    return x, labels


def first_batch(classifier: Classifier, part: Part, train: TrainParams) -> tuple[Tensor, Tensor]:
    """The first batch of the first epoch, from draws of its own: (B, C, H, W) in [0, 1], and shares (B, K)."""
    draws = torch.Generator().manual_seed(_seed(train.seed, 0))
    images, labels = next(iter(part.shuffled(train.batch_size, draws)))
    x, targets = model_input(classifier, images, labels, train.augment, draws)
    x = x * x.new_tensor(classifier.std)[:, None, None] + x.new_tensor(classifier.mean)[:, None, None]
    if targets.ndim == 1:
        targets = F.one_hot(targets, len(classifier.classes)).float()
    return x.cpu(), targets.cpu()


def evaluate(classifier: Classifier, part: Part, batch_size: int) -> tuple[float, float]:
    """Cross-entropy and accuracy on `part`, computed as the served model computes them."""
    loss, correct = 0.0, 0
    for images, labels in part.in_order(batch_size):
        logits = classifier.logits(images)
        loss += F.cross_entropy(logits, labels, reduction="sum").item()
        correct += (logits.argmax(dim=1) == labels).sum().item()
    return loss / len(part), correct / len(part)


def steps_per_epoch(images: int, batch_size: int) -> int:
    return math.ceil(images / batch_size)


def new_bar(images: int, train: TrainParams, progress: Progress) -> tqdm:
    """A progress bar over all optimizer steps, from where `progress` stands; quiet when not in a terminal."""
    steps = train.epochs * steps_per_epoch(images, train.batch_size)
    return tqdm(total=steps, initial=len(progress.learning_rates), unit="step", disable=None)


def _seed(seed: int, epoch: int) -> int:
    return seed * 1_000_003 + epoch
