"""A training that is killed, again and again, ends with the bytes of one that never was, in one MLflow run."""

import random
import signal
import time
from pathlib import Path

import pytest

from tests.trainings.conftest import PARAMS, STEPS_PER_EPOCH, Trainee, kill_group
from vit.tracking.progress import trainings
from vit.tracking.watching import curves

# Whatever is drawn at random or carries a state from step to step.
EVERYTHING = {
    "model.drop_rate": 0.1,
    "model.attn_drop_rate": 0.1,
    "model.drop_path_rate": 0.1,
    "train.augment.degrees": 10.0,
    "train.augment.mixup": 0.4,
    "train.augment.cutmix": 0.4,
    "train.ema_decay": 0.9,
    "train.optimizer": "muon",
    "train.grad_accum_steps": 2,
}
STEPS = PARAMS["train.epochs"] * STEPS_PER_EPOCH


def half_written(folder: Path) -> list[Path]:
    return list(folder.glob("checkpoints/*/.step-*.tmp"))


class Killer:
    """Starts a training and kills it when a moment has come; knows of each kill where it struck."""

    def __init__(self, trainee: Trainee):
        self.trainee = trainee
        self.struck: list[str] = []

    def kill_while_writing(self) -> None:
        self._kill(lambda: half_written(self.trainee.folder))

    def kill_in_an_epoch(self) -> None:
        """After the next state that is not the end of an epoch."""
        before = self.trainee.checkpoints()
        newest = before[0] if before else 0
        self._kill(lambda: any(one > newest and one % STEPS_PER_EPOCH for one in self.trainee.checkpoints()))

    def kill_after(self, seconds: float) -> None:
        """So many seconds after the start, which may be before the first step."""
        ends = time.monotonic() + seconds
        self._kill(lambda: time.monotonic() > ends)

    def _kill(self, has_come) -> None:
        training = self.trainee.start()
        while training.poll() is None and not has_come():
            time.sleep(0.0002)
        kill_group(training)
        if training.returncode != -signal.SIGKILL:
            return
        # A left temporary file is the proof that the kill came inside a writing.
        newest = max(self.trainee.checkpoints(), default=0)
        writing, between = half_written(self.trainee.folder), newest % STEPS_PER_EPOCH
        self.struck.append("writing" if writing else "epoch" if between else "else")


def assert_same_end(killed: Trainee, outputs: dict[str, bytes]) -> None:
    assert killed.outputs() == outputs
    run = killed.run()
    assert run.info.status == "FINISHED" and "rebuilt_from_files" not in run.data.tags
    assert killed.points("val_accuracy") == list(range(1, PARAMS["train.epochs"] + 1))
    assert killed.points("learning_rate") == list(range(STEPS))


def test_a_training_that_was_killed_and_then_stopped_ends_with_the_very_same_bytes(packed, tmp_path):
    whole = Trainee(packed, tmp_path / "whole", **EVERYTHING)
    whole.finish()
    outputs = whole.outputs()
    killed = Trainee(packed, tmp_path / "killed", **EVERYTHING)
    killer = Killer(killed)
    killer.kill_while_writing()
    assert len(killer.struck) == 1

    training = killed.start()
    before = max(killed.checkpoints(), default=0)
    while training.poll() is None and max(killed.checkpoints(), default=0) == before:
        time.sleep(0.001)
    training.send_signal(signal.SIGTERM)
    _, errors = training.communicate(timeout=60)
    assert training.returncode == 128 + signal.SIGTERM
    newest = max(killed.checkpoints())
    assert f"stopped by SIGTERM after step {newest} of {STEPS}; start it again" in errors
    assert "Traceback" not in errors and killed.run().info.status == "KILLED"
    (seen,) = trainings(killed.folder)
    assert (seen.state, seen.how_far["steps"], len(curves(seen))) == ("stopped", newest, newest // STEPS_PER_EPOCH)

    killed.finish()
    assert_same_end(killed, outputs)
    (seen,) = trainings(killed.folder)
    assert (seen.state, seen.share) == ("finished", 1.0) and [row["epoch"] for row in curves(seen)] == [*range(1, 9)]


@pytest.mark.slow
def test_a_training_killed_at_24_moments_ends_with_the_very_same_bytes(packed, tmp_path, capsys):
    whole = Trainee(packed, tmp_path / "whole", **EVERYTHING)
    began = time.monotonic()
    whole.finish()
    seconds, outputs = time.monotonic() - began, whole.outputs()
    draws, counts, rounds = random.Random(0), {}, 0
    while rounds < 5 or sum(counts.values()) < 24 or min(counts.get("writing", 0), counts.get("epoch", 0)) < 5:
        assert rounds < 30, counts
        killed = Trainee(packed, tmp_path / f"killed{rounds}", **EVERYTHING)
        killer = Killer(killed)
        for _ in range(2):
            killer.kill_while_writing()
            killer.kill_in_an_epoch()
        killer.kill_after(draws.uniform(0.3, 1.0) * seconds)
        killed.finish()
        assert_same_end(killed, outputs)
        for struck in killer.struck:
            counts[struck] = counts.get(struck, 0) + 1
        rounds += 1
    with capsys.disabled():
        print(f"\n{sum(counts.values())} kills in {rounds} trainings, all with the same bytes: {counts}")
