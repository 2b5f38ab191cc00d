"""How far each training is: small files beside its checkpoints, which the training writes and viewers read.

They are no stage outputs and change no weights. Reading them needs neither torch nor MLflow.
"""

import json
import logging
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import psutil

from vit.config.files import CHECKPOINTS, HOW_FAR, TRAINING_RECORD
from vit.config.schema import Params
from vit.errors import UserError
from vit.files import read_json, write_json

log = logging.getLogger("vit")

EVERY = 1.0  # seconds between two writes within an epoch
SETTLED = 3.0  # seconds of steps that the time left is computed from at least
SAME_START = 2.0  # seconds by which two readings of a process's start may differ; a reused id starts later
MEANS = ("train_loss", "train_accuracy")
PRETRAINING = {"stage": "pretrain"}  # in the record of a pretraining
State = Literal["running", "finished", "stopped", "failed", "killed"]


class Steps(Protocol):
    """What the file needs of `vit.training.checkpoint.Progress`."""

    steps: int
    history: list[dict]


def begun(params: Params, name: str) -> dict[str, Any]:
    """A training's record as it begins: its name, its folder (with the packed images while it runs) and `params`."""
    return {"name": name, "folder": str(Path.cwd()), "params": params.model_dump(by_alias=True)}


class ProgressFile:
    """The file of one running training, overwritten at most once a second and after each epoch.

    `record` describes the training (written once): `begun`, with `images`, `batch_size`, `steps_per_epoch`, `steps`,
    `epochs` and `processes`.
    `rate` is the learning rate of a step. Use as a context manager: at its end the file says how the training ended.
    """

    def __init__(self, folder: Path, record: dict[str, Any], rate: Callable[[int], float]):
        self.folder, self.record, self.rate = folder, record, rate
        self._written = time.monotonic()
        self._last: int | None = None  # steps at the last write
        self._from: tuple[float, int] | None = None  # when the pace is measured from, and the steps by then
        self._is_first_epoch = True  # of this process
        self._progress: Steps | None = None  # as last told
        self._values: dict[str, Any] = {
            "pid": os.getpid(),
            "process_started": psutil.Process().create_time(),
            "state": "running",
            "steps": 0,
        }

    def __enter__(self) -> "ProgressFile":
        _write(self.folder / TRAINING_RECORD, self.record)
        self._write()
        return self

    def __exit__(self, kind, error, trace) -> None:
        self._values["state"] = (
            "finished" if kind is None else "stopped" if issubclass(kind, KeyboardInterrupt) else "failed"
        )
        if self._progress is not None:
            self._values |= self._place(self._progress)
        self._write()

    def start(self, progress: Steps) -> None:
        """Call it with the restored progress: from here on the pace is measured."""
        self._progress = progress
        self._last = progress.steps
        self._written = time.monotonic()
        self._values |= self._place(progress)
        self._write()

    def step(self, progress: Steps, sums: Any) -> None:
        """Call it after every step; `sums` (2,) are the epoch's loss and correct predictions so far, (1,) the loss."""
        now, self._progress = time.monotonic(), progress
        if now - self._written < EVERY or self._last is None:
            return
        done = progress.steps - len(progress.history) * self.record["steps_per_epoch"]
        images = min(done * self.record["batch_size"], self.record["images"])
        means = [value * self.record["processes"] / images for value in sums.tolist()]
        self._values |= self._place(progress) | {
            **dict(zip(MEANS, means, strict=False)),
            "images_per_second": (progress.steps - self._last) * self.record["batch_size"] / (now - self._written),
        }
        self._last, self._written = progress.steps, now
        self._tell_time_left(now, progress.steps)
        self._write()

    def _tell_time_left(self, now: float, steps: int) -> None:
        """By the pace after the first steps of this process, which load and compile, and after a short first epoch."""
        if self._from is None:
            self._from = now, steps
        began, first = self._from
        if now - began >= SETTLED:
            self._values["seconds_left"] = (now - began) / (steps - first) * (self.record["steps"] - steps)

    def epoch(self, progress: Steps) -> None:
        """Call it after the checkpoint of an epoch."""
        now, self._progress = time.monotonic(), progress
        if self._is_first_epoch and (self._from is None or now - self._from[0] < 10 * SETTLED):
            self._from = now, progress.steps  # the first evaluation and checkpoint take longer, too
        self._is_first_epoch = False
        self._values |= self._place(progress)
        self._write()

    def _place(self, progress: Steps) -> dict[str, Any]:
        return {
            "steps": progress.steps,
            "epochs": len(progress.history),
            "learning_rate": self.rate(min(progress.steps, self.record["steps"] - 1)),
        }

    def _write(self) -> None:
        _write(self.folder / HOW_FAR, self._values | {"at": time.time()})


def _write(path: Path, value: dict) -> None:
    try:
        write_json(path, value)
    except OSError as error:  # a full disk must not end a training
        log.debug(f"{path} was not written: {error}")


@dataclass(frozen=True)
class Seen:
    """A training as its files tell: `record` as it was described, `how_far` as last written."""

    folder: Path
    record: dict[str, Any]
    how_far: dict[str, Any]

    @property
    def key(self) -> str:
        return self.folder.name

    @property
    def name(self) -> str:
        return self.record["name"]

    @property
    def is_pretraining(self) -> bool:
        """Whether it is stage pretrain, whose checkpoints hold no curves and no classifier."""
        return PRETRAINING.items() <= self.record.items()

    @property
    def state(self) -> State:
        """`killed` if its process is gone without having said how it ended."""
        said = self.how_far["state"]
        return "killed" if said == "running" and not self.process_is_alive() else said

    @property
    def share(self) -> float:
        """Of all steps, in [0, 1]; early stopping may end a training before 1."""
        return min(1.0, self.how_far["steps"] / max(1, self.record["steps"]))

    def process_is_alive(self) -> bool:
        """Whether the process that wrote `how_far` still runs; another one with its id counts as gone."""
        return is_alive(self.how_far["pid"], self.how_far["process_started"])


def interrupt_command(seen: Seen) -> list[str]:
    """What stops a training as Ctrl-C does: it writes a checkpoint and ends."""
    return ["kill", "-INT", str(seen.how_far["pid"])]


def interrupt(seen: Seen) -> None:
    """Run `interrupt_command`. Raises UserError if the training has ended, so that no other process is hit."""
    if not seen.process_is_alive():
        raise UserError(f"{seen.name} has already ended")
    os.kill(seen.how_far["pid"], signal.SIGINT)


def is_alive(pid: int, started: float) -> bool:
    """Whether process `pid` is the one that started at `started` (seconds since 1970), and no zombie."""
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and abs(process.create_time() - started) < SAME_START
    except psutil.Error:
        return False


def trainings(root: Path) -> list[Seen]:
    """All trainings of the repo `root` whose checkpoints are there, the last one that moved first."""
    found = (seen(folder) for folder in (root / CHECKPOINTS).glob("*"))
    return sorted((one for one in found if one is not None), key=lambda one: one.how_far["at"], reverse=True)


def seen(folder: Path) -> Seen | None:
    """The training with checkpoints in `folder`; None if its files are not there, or are of an earlier release."""
    try:
        return Seen(folder, read_json(folder / TRAINING_RECORD), read_json(folder / HOW_FAR))
    except (OSError, json.JSONDecodeError):
        return None


def newest_checkpoint(seen: Seen) -> Path | None:
    """The file; None before the first epoch."""
    return max(seen.folder.glob("step-*.pt"), default=None)


def tail(path: Path, lines: int = 40) -> str:
    """The last lines of a log; empty if there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 200 * lines))
            return "\n".join(file.read().decode("utf-8", errors="replace").splitlines()[-lines:])
    except OSError:
        return ""
