"""The small files that say how far a training is."""

import os
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
import torch

from vit.errors import UserError
from vit.files import read_json, write_json
from vit.tracking import progress as module
from vit.tracking.progress import PRETRAINING, ProgressFile, Seen, interrupt, is_alive, seen, tail, trainings

RECORD = {"name": "a", "images": 10, "batch_size": 4, "steps_per_epoch": 3, "epochs": 5, "steps": 15, "processes": 1}
SUMS = torch.tensor([8.0, 4.0])


@dataclass
class Steps:
    steps: int = 0
    history: list[dict] = field(default_factory=list)


@pytest.fixture
def folder(tmp_path) -> Path:
    path = tmp_path / "checkpoints" / "key"
    path.mkdir(parents=True)
    return path


def written(folder: Path) -> dict:
    return read_json(folder / "progress.json")


def test_within_an_epoch_it_is_overwritten_at_most_once_a_second(folder, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    with ProgressFile(folder, RECORD, lambda step: step / 100) as file:
        file.start(Steps(4, [{}]))
        for steps, now in ((5, 100.5), (6, 100.9)):
            clock[0] = now
            file.step(Steps(steps, [{}]), SUMS)
            assert written(folder)["steps"] == 4
        clock[0] = 102.0
        file.step(Steps(6, [{}]), SUMS)
    # 2 steps in 2 seconds, of 4 images each; 10 images of the epoch are done.
    expected = {"steps": 6, "epochs": 1, "images_per_second": 4.0, "learning_rate": 0.06}
    assert written(folder).items() >= (expected | {"train_loss": 0.8, "train_accuracy": 0.4}).items()


@pytest.mark.parametrize(("first_epoch", "pace"), [(10, 1.0), (58, 61 / 5)], ids=["short", "long"])
def test_the_time_left_counts_neither_the_start_nor_a_short_first_epoch(folder, monkeypatch, first_epoch, pace):
    clock = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    with ProgressFile(folder, RECORD, lambda step: 0.1) as file:
        file.start(Steps())
        for steps, now in ((1, 130.0), (2, 131.0), (3, 132.0)):  # the first step compiles for half a minute
            clock[0] = now
            file.step(Steps(steps), SUMS)
            assert "seconds_left" not in written(folder)
        clock[0] = 130.0 + first_epoch
        file.epoch(Steps(3, [{}]))
        for steps in (4, 5, 6):
            clock[0] += 1.0
            file.step(Steps(steps, [{}]), SUMS)
    # 9 of 15 steps are left. A short epoch is not counted: a second a step. A long one is: 61 seconds for 5 steps.
    assert written(folder)["seconds_left"] == pytest.approx(9 * pace)


def test_a_pretraining_is_told_from_a_training_and_has_a_loss_only(folder, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    with ProgressFile(folder, RECORD | PRETRAINING, lambda step: 0.1) as file:
        file.start(Steps())
        clock[0] = 102.0
        file.step(Steps(2), SUMS[:1])
    one = seen(folder)
    assert one.is_pretraining and one.how_far["train_loss"] == 1.0 and "train_accuracy" not in one.how_far
    assert not Seen(folder, RECORD, one.how_far).is_pretraining


@pytest.mark.parametrize(
    ("error", "state"), [(None, "finished"), (KeyboardInterrupt(), "stopped"), (ValueError(), "failed")]
)
def test_the_end_of_a_training_is_told(folder, error, state):
    with suppress(KeyboardInterrupt, ValueError), ProgressFile(folder, RECORD, lambda step: 0.1) as file:
        file.start(Steps())
        assert seen(folder).state == "running"
        if error is not None:
            raise error
    assert seen(folder).state == state


def test_a_training_whose_process_is_gone_was_killed_also_if_its_id_is_used_again(folder):
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    started = psutil.Process(child.pid).create_time()
    far = {"pid": child.pid, "process_started": started, "state": "running", "steps": 1, "at": time.time()}
    assert Seen(folder, RECORD, far).state == "running"
    assert not is_alive(child.pid, started - 60)  # what a process that took over the id looks like
    with pytest.raises(UserError, match="a has already ended"):
        interrupt(Seen(folder, RECORD, far | {"process_started": started - 60}))
    assert child.poll() is None
    child.kill()
    child.wait()
    assert Seen(folder, RECORD, far).state == "killed"


def test_a_full_disk_does_not_end_a_training(folder, monkeypatch):
    def full(path, value):
        raise OSError("No space left on device")

    monkeypatch.setattr(module, "write_json", full)
    with ProgressFile(folder, RECORD, lambda step: 0.1) as file:
        file.start(Steps())
        file.epoch(Steps(3, [{}]))
    assert seen(folder) is None


def test_the_training_that_moved_last_comes_first_and_folders_of_earlier_releases_are_left_out(tmp_path):
    for number, name in enumerate(("old", "new")):
        folder = tmp_path / "checkpoints" / name
        folder.mkdir(parents=True)
        write_json(folder / "training.json", RECORD | {"name": name})
        write_json(
            folder / "progress.json", {"pid": os.getpid(), "process_started": 0, "state": "finished", "at": number}
        )
    (tmp_path / "checkpoints" / "earlier").mkdir()
    (tmp_path / "checkpoints" / "torn").mkdir()
    (tmp_path / "checkpoints" / "torn" / "progress.json").write_text("{")
    assert [one.name for one in trainings(tmp_path)] == ["new", "old"]


def test_the_tail_of_a_log_is_read_without_the_rest(tmp_path):
    path = tmp_path / "log"
    path.write_text("\n".join(f"line {number}" for number in range(10_000)))
    assert tail(path, 2) == "line 9998\nline 9999" and tail(tmp_path / "none") == ""
