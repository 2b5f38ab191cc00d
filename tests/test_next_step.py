"""What a person would do next."""

import pytest

from vit.next_step import changed_stages, next_step, reasons

CHAMPION = {"version": 1, "aliases": ["champion"]}
BOTH = {"version": 2, "aliases": ["champion", "challenger"]}
CHALLENGER = {"version": 3, "aliases": ["challenger"]}


@pytest.mark.parametrize(
    ("problem", "changed", "running", "versions", "command"),
    [
        ("train.lr is -1", ["train"], ["run"], [BOTH], ()),
        (None, ["train"], ["run"], [BOTH], ()),  # a training is watched before anything is rerun
        (None, ["train"], [], [BOTH], ("dvc", "repro")),
        (None, [], [], [], ("dvc", "repro")),
        (None, [], [], [CHALLENGER], ("vit", "registry", "list")),
        (None, [], [], [CHALLENGER, CHAMPION], ("vit", "compare", "models:/m@champion", "models:/m@challenger")),
        (None, [], [], [BOTH], ("mlflow", "models", "serve", "-m", "models:/m@champion", "--env-manager", "local")),
    ],
)
def test_the_most_urgent_thing_comes_first(problem, changed, running, versions, command):
    found = next_step(problem, changed, running, "m", versions)
    assert found.command == command
    assert (problem or "") in found.sentence


def test_a_stage_that_runs_every_time_is_not_changed_and_every_reason_is_named():
    status = {
        "train": [
            {"changed deps": {"vit/a.py": "modified", "params.yaml": {"train.lr": "modified"}}},
            "changed command",
        ],
        "register": ["always changed"],
    }
    assert changed_stages(status) == ["train"]
    assert reasons(status["train"]) == ["vit/a.py modified", "train.lr modified", "changed command"]
