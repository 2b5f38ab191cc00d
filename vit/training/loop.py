"""The training loop: every random draw is a function of the seed, the epoch and the step."""

import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn
from tqdm import tqdm

from vit.data.batches import Packed, augment, normalize, to_unit
from vit.errors import UserError
from vit.inference import Classifier
from vit.params import TrainParams
from vit.training.checkpoint import Progress
from vit.training.device import Compute
from vit.training.optim import learning_rate


def fit(
    classifier: Classifier,
    optimizer: torch.optim.Optimizer,
    train_part: Packed,
    val_part: Packed,
    train: TrainParams,
    compute: Compute,
    progress: Progress,
    after_epoch: Callable[[Progress], None],
) -> None:
    """Train from where `progress` stands to `train.epochs`, calling `after_epoch` after each.

    Raises UserError if the loss stops being finite.
    """
    for epoch in range(len(progress.history), train.epochs):
        began = time.time()
        row = train_one_epoch(classifier, optimizer, train_part, epoch, train, compute, progress.learning_rates)
        trained = time.time()
        val_loss, val_accuracy = evaluate(classifier, val_part, 4 * train.batch_size)
        progress.history.append({"epoch": epoch + 1, **row, "val_loss": val_loss, "val_accuracy": val_accuracy})
        if progress.best is progress.history[-1]:
            state = classifier.model.state_dict()
            progress.best_weights = {name: weight.cpu().clone() for name, weight in state.items()}
        rate = len(train_part) / (trained - began)
        progress.clock.append({"time": time.time(), "epoch_seconds": time.time() - began, "images_per_second": rate})
        after_epoch(progress)


def train_one_epoch(
    classifier: Classifier,
    optimizer: torch.optim.Optimizer,
    part: Packed,
    epoch: int,
    train: TrainParams,
    compute: Compute,
    learning_rates: list[float],
) -> dict[str, float]:
    """One pass over `part`; appends each step's rate to `learning_rates`, returns train_loss and train_accuracy."""
    model, device = classifier.model, classifier.device
    draws = torch.Generator().manual_seed(_seed(train.seed, epoch))
    torch.manual_seed(_seed(train.seed, epoch))
    model.train()
    steps = -(-len(part) // train.batch_size)
    loss_sum, correct = torch.zeros((), device=device), torch.zeros((), device=device)
    batches = part.shuffled(train.batch_size, draws)
    for images, labels in tqdm(batches, f"epoch {epoch + 1}/{train.epochs}", steps, leave=False, disable=None):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(len(learning_rates), steps, train)
        learning_rates.append(optimizer.param_groups[0]["lr"])
        labels = labels.to(device, non_blocking=True)
        x = augment(to_unit(images.to(device, non_blocking=True)), train.augment, draws)
        with torch.autocast(device.type, torch.bfloat16, enabled=compute.precision == "bf16"):
            logits = model(normalize(x, classifier.mean, classifier.std)).float()
        loss = F.cross_entropy(logits, labels, label_smoothing=train.label_smoothing)
        optimizer.zero_grad()
        loss.backward()
        if train.clip_grad is not None:
            nn.utils.clip_grad_norm_(model.parameters(), train.clip_grad)
        optimizer.step()
        loss_sum += loss.detach() * len(labels)
        correct += (logits.argmax(dim=1) == labels).sum()
    mean_loss = loss_sum.item() / len(part)
    if not mean_loss < float("inf"):
        raise UserError(
            f"the training loss became {mean_loss} in epoch {epoch + 1}; lower train.lr ({train.lr}) or set clip_grad"
        )
    return {"train_loss": mean_loss, "train_accuracy": correct.item() / len(part)}


def evaluate(classifier: Classifier, part: Packed, batch_size: int) -> tuple[float, float]:
    """Cross-entropy and accuracy on `part`, computed as the served model computes them."""
    loss, correct = 0.0, 0
    for images, labels in part.in_order(batch_size):
        logits = classifier.logits(images)
        loss += F.cross_entropy(logits, labels, reduction="sum").item()
        correct += (logits.argmax(dim=1) == labels).sum().item()
    return loss / len(part), correct / len(part)


def _seed(seed: int, epoch: int) -> int:
    return seed * 1_000_003 + epoch
