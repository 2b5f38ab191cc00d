"""What can be done about a training: the commands that stop it and that go on with it."""

import itertools
import json
import os
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from studio.train.asked import execute
from studio.train.charts import thinned
from studio.train.jobs import Job, go_on_commands, stop_commands
from studio.train.owners import is_owner, remember
from tests.conftest import REPO
from vit.config.params_file import load_params
from vit.dvc import Task
from vit.errors import UserError
from vit.tracking.progress import PRETRAINING, Seen


@pytest.fixture
def params(monkeypatch) -> dict:
    monkeypatch.chdir(REPO)
    return load_params().model_dump(by_alias=True)


def job(folder: Path, params: dict, state: str = "running", task: str | None = None, **far: object) -> Job:
    started = psutil.Process().create_time()
    how_far = {"pid": os.getpid(), "process_started": started, "state": state, "steps": 3, "at": 0} | far
    record = {"name": "a-b", "params": json.loads(json.dumps(params)), "steps": 10, "epochs": 2}
    return Job("a-b", Seen(folder, record, how_far), None if task is None else Task("1234567", "a-b", task))


def test_dvcs_training_is_stopped_by_dvc_and_the_rest_of_the_queue_gets_a_new_worker(tmp_path, params):
    one = job(tmp_path, params, task="Running")
    waiting = Job("c-d", None, Task("7654321", "c-d", "Queued"))
    other = Job("e-f", None, Task("1111111", "e-f", "Running"))
    assert stop_commands(one, [one]) == [["dvc", "queue", "kill", "a-b"]]
    assert stop_commands(one, [one, waiting])[1:] == [["dvc", "queue", "start", "-j", "1"]]
    assert stop_commands(one, [one, other, waiting])[1:] == [["dvc", "queue", "start", "-j", "2"]]


def test_a_terminals_training_gets_the_signal_of_ctrl_c_unless_its_process_is_gone(tmp_path, params):
    one = job(tmp_path, params)
    assert stop_commands(one, [one]) == [["kill", "-INT", str(os.getpid())]]
    gone = job(tmp_path, params, process_started=0)
    assert gone.state == "killed"
    with pytest.raises(UserError, match="a-b has already ended"):
        execute(*stop_commands(gone, [gone]), tmp_path, gone.seen)


def test_going_on_is_the_same_training_under_the_same_name(tmp_path, params):
    asked = params | {"train": params["train"] | {"lr": 0.5}}
    one = job(tmp_path, asked, "stopped", task="Failed")
    queue = ["dvc", "exp", "run", "--queue", "--name", "a-b", "-S", "train.lr=0.5"]
    assert go_on_commands(one) == [["dvc", "queue", "remove", "a-b"], queue, ["dvc", "queue", "start", "-j", "1"]]
    terminals = job(tmp_path, asked, "stopped")
    assert go_on_commands(terminals)[0] == ["dvc", "exp", "run", "--queue", "-S", "train.lr=0.5"]


def test_a_training_of_an_earlier_release_lacks_keys_that_have_their_defaults(tmp_path, params):
    earlier = params | {"train": {key: value for key, value in params["train"].items() if key != "compile"}}
    assert go_on_commands(job(tmp_path, earlier, "stopped"))[0] == ["dvc", "exp", "run", "--queue"]


def test_a_training_is_finished_once_it_is_published_and_its_folder_removed(tmp_path, params):
    assert job(tmp_path / "gone", params).state == "finished"
    assert job(tmp_path, params, "failed").state == "failed"
    assert job(tmp_path, params, "stopped", task="Queued").state == "queued"


@pytest.mark.parametrize(
    ("trained", "at", "state"),
    [
        ("running", 5, "running"),
        ("finished", 5, "finishing"),
        ("stopped", 5, "stopping"),
        ("failed", 5, "stopping"),
        ("stopped", 3, "preparing"),  # by an earlier task; it has gone on since
        ("finished", 3, "preparing"),
    ],
)
def test_while_dvc_runs_a_task_its_training_is_to_come_or_over(tmp_path, params, trained, at, state):
    one = job(tmp_path, params, trained, task="Running", at=at)
    assert replace(one, began=4).state == state
    assert replace(one, began=4, is_asked_to_stop=True).state == "stopping"
    assert replace(one, seen=None).state == "preparing"
    assert job(tmp_path, params, trained, task="Queued", at=at).state == ("running" if state == "running" else "queued")


def test_a_published_training_is_finishing_until_dvc_is_done(tmp_path, params):
    one = replace(job(tmp_path / "gone", params, "finished", task="Running", at=5), began=4)
    assert one.state == "finishing"
    assert replace(one, task=Task("1234567", "a-b", "Success")).state == "finished"


def test_who_started_a_training_last_owns_it_and_nobody_else(tmp_path):
    assert not is_owner("a-b", "me", tmp_path)
    remember(["a-b", "c-d"], "me", tmp_path)
    remember(["c-d"], "you", tmp_path)
    assert [is_owner(name, "me", tmp_path) for name in ("a-b", "c-d", "e-f")] == [True, False, False]


def test_a_pretraining_is_told_as_one_with_its_epoch_and_loss(tmp_path, params):
    far = {"epochs": 1, "seconds_left": 90.0, "images_per_second": 1500.0, "train_loss": 0.75, "learning_rate": 0.001}
    training = job(tmp_path, params, **far)
    record = training.seen.record | PRETRAINING
    pretraining = Job("a-b", Seen(tmp_path, record, training.seen.how_far), None)
    assert pretraining.place == f"pretraining, {training.place}"
    assert training.place.startswith("1 of 2 epochs, step 3 of 10, ") and ", train loss 0.750, " in training.place


@pytest.mark.parametrize(("epochs", "drawn"), [(0, 0), (1, 1), (300, 300), (301, 151), (3000, 300)])
def test_long_curves_are_thinned_evenly_and_end_with_the_last_epoch(epochs, drawn):
    rows = [{"epoch": number} for number in range(1, epochs + 1)]
    kept = [row["epoch"] for row in thinned(rows)]
    assert len(kept) == drawn and kept[-1:] == [epochs][: len(kept)]
    assert len({late - early for early, late in itertools.pairwise(kept)}) <= 1
