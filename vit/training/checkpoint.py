"""The state of an unfinished training: written atomically while it runs, restored at its next start."""

import dataclasses
import logging
import os
import pickle
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch
from filelock import FileLock, Timeout

from vit.files import replacing
from vit.inference.scores import COLUMNS, SIGNS
from vit.training.distributed import World

log = logging.getLogger("vit")

KEPT = 2  # the latest may lie on a bad disk block
UNREADABLE = (OSError, EOFError, RuntimeError, KeyError, pickle.UnpicklingError)


class Resumable(Protocol):
    """What a training changes, of one process or shared by several."""

    world: World

    def state_dict(self) -> dict: ...
    def load_state_dict(self, state: dict) -> None: ...


@dataclass
class Progress:
    """The progress of a training: optimizer steps, and one entry per epoch in `history`, `errors` and `clock`.

    `errors` holds the standard errors of the val scores by the metric `select_by`. `clock` holds measured times in
    seconds, which go to MLflow but not to the outputs. `unfinished` holds the current epoch's sums of loss and correct
    predictions per process, (processes, 2).
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
    """The last two checkpoints of one training, in its own folder; the first process writes and reads them.

    Learning rates, image order and random draws are functions of the step and are not stored.
    """

    folder: Path

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Hold the lock on this training; if another process has it, wait for it to finish."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / "lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            log.info("another process is running the same training; waiting for it")
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def remove(self) -> None:
        """Delete them all, once what they led to is in place."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def files(self) -> list[Path]:
        """The checkpoint files, newest first."""
        return sorted(self.folder.glob("step-*.pt"), reverse=True)

    def save(self, progress: Progress, step: Resumable) -> None:
        """Write a checkpoint; a full disk costs the checkpoint, not the training."""
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
            log.warning(f"no checkpoint after step {progress.steps}: {error}; training continues")
            return
        for old in self.files()[KEPT:]:
            old.unlink()

    def restore(self, step: Resumable) -> Progress:
        """Resume from the newest readable checkpoint, or start from scratch."""
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
                log.warning(f"{file.name} cannot be read ({error}); trying the previous one")
        return None
