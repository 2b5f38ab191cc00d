"""The state of an unfinished training: written whole after each epoch, read back by the next start."""

import dataclasses
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from torch import nn

from vit.files import replacing

log = logging.getLogger("vit")


@dataclass
class Progress:
    """What a training has done so far, one entry per epoch in `history` and `clock`, per step in `learning_rates`.

    `clock` holds what was measured (time, seconds); it goes to MLflow and is no part of the outputs.
    """

    history: list[dict] = field(default_factory=list)
    learning_rates: list[float] = field(default_factory=list)
    clock: list[dict] = field(default_factory=list)
    best_weights: dict[str, torch.Tensor] = field(default_factory=dict)

    @property
    def best(self) -> dict:
        """The row of the epoch with the highest val accuracy; of equals the lowest val loss, then the earliest."""
        return max(self.history, key=lambda row: (row["val_accuracy"], -row["val_loss"]))


@contextmanager
def claimed(path: Path) -> Iterator[None]:
    """Hold the training whose checkpoint is `path`; if another process is at it, wait for that one and its result."""
    path.parent.mkdir(exist_ok=True)
    lock = FileLock(path.with_suffix(".lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.info("another process is at this very training; waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def save(path: Path, progress: Progress, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    fields = {one.name: getattr(progress, one.name) for one in dataclasses.fields(progress)}
    with replacing(path) as temporary, temporary.open("wb") as file:
        torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "progress": fields}, file)
        file.flush()
        os.fsync(file.fileno())


def restore(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> Progress:
    """Continue from `path` if it exists, else from nothing."""
    if not path.exists():
        return Progress()
    saved = torch.load(path, map_location="cpu", weights_only=True)
    model.load_state_dict(saved["model"])
    optimizer.load_state_dict(saved["optimizer"])
    return Progress(**saved["progress"])
