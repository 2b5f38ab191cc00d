import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from tests.shapes import Training, shapes
from tests.training.common import params_for, same
from vit.training import checkpoint
from vit.training.checkpoint import Checkpoints, Progress


@pytest.fixture
def training(tmp_path) -> Training:
    parts = shapes(tmp_path, 10, seed=0), shapes(tmp_path, 4, seed=1)
    return Training(params_for(tmp_path, **{"train.epochs": 3}), parts, tmp_path / "key")


def again(training: Training, tmp_path) -> Training:
    parts = training.feed.part, training.val_part
    return Training(params_for(tmp_path, **{"train.epochs": 3}), parts, training.checkpoints.folder)


def test_a_training_without_a_checkpoint_begins_from_nothing(training):
    assert training.progress == Progress()


def test_the_last_two_states_are_kept_and_nothing_beside_them(training):
    training.run()
    names = [path.name for path in sorted(training.checkpoints.folder.iterdir())]
    assert names == ["step-000000006.pt", "step-000000009.pt"]


def test_of_a_newest_state_that_is_no_longer_whole_the_one_before_is_taken_and_that_is_said(training, tmp_path, caplog):
    training.run()
    newest = training.checkpoints.files()[0]
    newest.write_bytes(newest.read_bytes()[:1000])
    continued = again(training, tmp_path)
    assert continued.progress.steps == 6
    assert "step-000000009.pt cannot be read" in caplog.text and "trying the previous one" in caplog.text
    continued.run()
    assert continued.progress.history == training.progress.history
    assert same(continued.progress.best_weights, training.progress.best_weights)


def test_a_full_disk_costs_checkpoints_and_not_the_training(training, tmp_path, monkeypatch, caplog):
    def write_on_a_full_disk(state, file):
        with Path("/dev/full").open("wb", buffering=0) as full:
            full.write(b"x")

    monkeypatch.setattr(checkpoint.torch, "save", write_on_a_full_disk)
    training.run()
    assert len(training.progress.history) == 3
    assert "no checkpoint after step 3: [Errno 28] No space left on device; training continues" in caplog.text
    assert list(training.checkpoints.folder.iterdir()) == []


def test_a_checkpoint_is_read_without_running_what_it_holds(training, capsys):
    class Evil:
        def __reduce__(self):
            return (print, ("executed",))

    torch.save({"step": Evil(), "progress": {}}, training.checkpoints.folder / "step-000000001.pt")
    assert training.checkpoints.restore(training.step) == Progress()
    assert capsys.readouterr().out == ""


def test_a_training_that_another_process_holds_is_waited_for(tmp_path):
    hold = (
        "import sys, filelock as f; lock = f.FileLock(sys.argv[1]); lock.acquire(); print('held', flush=True); input()"
    )
    (tmp_path / "key").mkdir()
    command = [sys.executable, "-c", hold, str(tmp_path / "key" / "lock")]
    other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout.readline() == "held\n"
        with Checkpoints(tmp_path / "other").claimed():
            pass
        threading.Timer(0.3, other.kill).start()  # as kill -9: the lock must not outlive its process
        began = time.monotonic()
        with Checkpoints(tmp_path / "key").claimed():
            assert time.monotonic() - began > 0.2
    finally:
        other.kill()
        other.communicate()
