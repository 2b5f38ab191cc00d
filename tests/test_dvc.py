"""Commands for DVC: whatever is typed arrives as it was typed, and nothing of it is a command."""

import shlex
import subprocess
import sys
import time

import pytest
from dvc.utils.cli_parse import to_path_overrides
from dvc.utils.hydra import apply_overrides, get_hydra_sweeps
from ruamel.yaml import YAML

from vit import dvc
from vit.errors import UserError

HOSTILE = ["a,b", "$HOME", "$(touch x)", "`touch x`", "; touch x", "it's", '"q"', "a\\", "a\\\\", '\\"', "range(3)"]
HOSTILE += ["null", "true", "1e3", "12", "nan", " a b ", "#x", "a=b", "x:y", "-S", "--force", "é", "", "~", "{a: 1}"]
HOSTILE += [
    "[1, 2]",
    "glob(*)",
    r"^(\w+)_\d{2}\.png$",
    "torchvision/resnet18",
    "<b>*x*</b>",
    "choice(a,b)",
    "@x",
    "%",
    "!y",
]


def arrived(tmp_path, key: str, values: list) -> list:
    """What DVC's own parser makes of the arguments, run by run."""
    (_, argument) = dvc.sweep({key: values})
    found = []
    for run in get_hydra_sweeps(to_path_overrides([argument])):
        path = tmp_path / "params.yaml"
        section, name = key.split(".")
        path.write_text(f"{section}:\n  {name}: null\n")
        apply_overrides(path, run["params.yaml"])
        found.append(YAML(typ="safe", pure=True).load(path)[section][name])
    return found


def test_text_arrives_as_it_was_typed(tmp_path):
    for text in HOSTILE:
        assert arrived(tmp_path, "split.group_regex", [text]) == [text]


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("split.group_regex", HOSTILE),
        ("train.lr", [0.001, 1e-7, 3e-4]),
        ("train.patience", [None, 3]),
        ("train.compile", [True, False]),
        ("pack.image_size", [[8, 8], [16, 16]]),
        ("evaluate.slices", [["label", "a,b"], []]),
        ("evaluate.questions", [{"is it round": ["a b", "c,d"]}]),
        ("train.threads", ["auto", 2]),
    ],
)
def test_several_values_are_a_sweep_in_their_order(tmp_path, key, values):
    assert arrived(tmp_path, key, values) == values


@pytest.mark.parametrize("value", ["${data.path}", "a\nb", "\x00", {"a,b": ["x"]}, {"true": ["x"]}, {"ü": ["x"]}])
def test_what_no_quoting_saves_is_refused(value):
    with pytest.raises(UserError, match="cannot"):
        dvc.sweep({"split.group_regex": [value]})


def test_a_shown_command_is_the_one_that_runs():
    command = dvc.queue_command({"split.group_regex": ["$(touch x); 'a' \"b\""]})
    assert shlex.split(shlex.join(command)) == command


def test_the_queue_is_read_from_what_dvc_prints(monkeypatch):
    printed = (
        "Task     Name         Created       Status\n"
        "6dae8d6  buggy-rick   09:48 PM      Running\n"
        "972f2a7  waugh-keep   Nov 25, 2026  Queued\n"
        "1111111  sworn-cads   09:40 PM      Failed\n\n"
        "Worker status: 1 active, 0 idle\n"
    )
    monkeypatch.setattr(dvc, "run", lambda *arguments, folder: printed)
    assert [(task.rev, task.name, task.state) for task in dvc.tasks()] == [
        ("6dae8d6", "buggy-rick", "Running"),
        ("972f2a7", "waugh-keep", "Queued"),
        ("1111111", "sworn-cads", "Failed"),
    ]


def test_a_worker_counts_while_it_lives_and_no_other_program_with_its_number(tmp_path):
    folder = tmp_path / dvc.QUEUE / "celery"
    folder.mkdir(parents=True)
    assert dvc.workers(tmp_path) == 0
    waiting = [sys.executable, "-c", "input()"]
    with (
        subprocess.Popen([*waiting, "queue-worker"], stdin=subprocess.PIPE) as worker,
        subprocess.Popen(waiting, stdin=subprocess.PIPE) as other,
    ):
        (folder / "dvc-exp-worker-1.pid").write_text(str(worker.pid))
        (folder / "dvc-exp-worker-2.pid").write_text(str(other.pid))
        assert dvc.workers(tmp_path) == 1
        worker.communicate(b"\n")
        assert dvc.workers(tmp_path) == 0
        other.communicate(b"\n")


def test_the_stage_of_an_experiment_is_the_last_one_that_dvc_said_it_runs(tmp_path):
    folder = tmp_path / dvc.QUEUE / "run" / "1234567abc"
    folder.mkdir(parents=True)
    assert dvc.stage_of("1234567", tmp_path) == "" and dvc.began("1234567", tmp_path) is None
    (folder / "1234567abc.out").write_text("Running stage 'split':\n> python\nRunning stage 'pack':\n'train'\n")
    (folder / "1234567abc.pid").write_text("12")
    assert dvc.stage_of("1234567", tmp_path) == "pack"
    assert dvc.began("1234567", tmp_path) == pytest.approx(time.time(), abs=60)
