"""The state of an unfinished training: written whole while it goes on, read back by its next start."""

import dataclasses
import logging
import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from vit.files import replacing
from vit.inference.scores import COLUMNS, SIGNS
from vit.training.step import TrainingStep

log = logging.getLogger("vit")

KEPT = 2  # the last may be on a bad block of the disk
UNREADABLE = (OSError, EOFError, RuntimeError, KeyError, pickle.UnpicklingError)


@dataclass
class Progress:
    """What a training has done so far: optimizer steps, and one entry per epoch in `history`, `errors` and `clock`.

    `errors` are the standard errors of each epoch's val score by the metric `select_by`. `clock` holds what was
    measured (time, seconds); it goes to MLflow and is no part of the outputs. `unfinished` are the sums of the epoch
    that is under way, of each process: loss, right answers (processes, 2).
    """

    steps: int = 0
    select_by: str = "accuracy"
    history: list[dict] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)
    clock: list[dict] = field(default_factory=list)
    best_weights: dict[str, torch.Tensor] = field(default_factory=dict)
    unfinished: torch.Tensor | None = None

    @property
    def leader(self) -> dict:
        """The row of the epoch with the best val score; ties go to the lowest val loss, then the earliest."""
        return max(self.history, key=lambda row: (self._score(row), -row["val_loss"]))

    @property
    def best(self) -> dict:
        """The row of the latest epoch whose val score is within one standard error of the best.

        A better score may be luck, especially with few images, while later epochs have a lower learning rate.
        Breiman et al. 1984, "Classification and Regression Trees", section 3.4.3.
        """
        leader = self.leader
        enough = self._score(leader) - self.errors[leader["epoch"] - 1]
        return next(row for row in reversed(self.history) if self._score(row) >= enough)

    def _score(self, row: dict) -> float:
        """Of an epoch on val, the higher the better."""
        return SIGNS[self.select_by] * row[COLUMNS[self.select_by]]


@dataclass(frozen=True)
class Checkpoints:
    """The last two states of one training, in a folder of its own; the first process writes and reads them.

    Rates, order of images and draws are functions of the step and need not be kept.
    """

    folder: Path

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Hold this training; if another process is at it, wait for that one and its result."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / "lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            log.info("another process is at this very training; waiting for it")
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def files(self) -> list[Path]:
        """What is there, the newest first."""
        return sorted(self.folder.glob("step-*.pt"), reverse=True)

    def save(self, progress: Progress, step: TrainingStep) -> None:
        """Write the state; a disk that is full costs the checkpoint, not the training."""
        state = step.state_dict()
        if not step.world.is_first:
            return
        fields = {one.name: getattr(progress, one.name) for one in dataclasses.fields(progress)}
        target = self.folder / f"step-{progress.steps:09d}.pt"
        try:
            with replacing(target) as temporary, temporary.open("wb") as file:
                torch.save({"step": state, "progress": fields}, file)
                file.flush()
                os.fsync(file.fileno())
        except (OSError, RuntimeError) as error:  # torch.save turns an OSError into a RuntimeError
            log.warning(f"no checkpoint after step {progress.steps}: {error}. The training goes on")
            return
        for old in self.files()[KEPT:]:
            old.unlink()

    def restore(self, step: TrainingStep) -> Progress:
        """Continue from the newest state that is whole, else from nothing."""
        saved = step.world.broadcast(self._load() if step.world.is_first else None)
        if saved is None:
            return Progress()
        step.load_state_dict(saved["step"])
        return Progress(**saved["progress"])

    def _load(self) -> dict | None:
        for file in self.files():
            try:
                return torch.load(file, map_location="cpu", weights_only=True)
            except UNREADABLE as error:
                log.warning(f"{file.name} cannot be read ({error}); trying the one before")
        return None
