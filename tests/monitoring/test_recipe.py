"""Code and parameters of a turn are those of the commit."""

import subprocess
from pathlib import Path

import pytest

from tests.presets import write_preset
from vit.errors import UserError
from vit.monitoring.recipe import committed_recipe, file_at

FOLDER = {"data.source": "folder"}


def git(root: Path, *arguments: str) -> None:
    author = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", *author, *arguments], cwd=root, check=True, capture_output=True)


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    write_preset(tmp_path / "params.yaml", "shapes", FOLDER)
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    (tmp_path / "vit").mkdir()
    (tmp_path / "vit/a.py").write_text("x = 1\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "one")
    return tmp_path


def test_an_edit_that_is_not_committed_is_not_used_and_named(root):
    before = committed_recipe(root)
    assert before.uncommitted == [] and before.params.data.source == "folder"
    write_preset(root / "params.yaml", "shapes", FOLDER | {"train.epochs": 1})
    (root / "vit/new.py").write_text("broken(")
    now = committed_recipe(root)
    assert now.uncommitted == ["params.yaml", "vit/new.py"]
    assert (now.params, now.digest) == (before.params, before.digest)


def test_the_recipe_changes_with_committed_code_and_parameters_and_with_no_other_file(root):
    digests = [committed_recipe(root).digest]
    (root / "README.md").write_text("x")
    changes = [lambda: None, lambda: (root / "vit/a.py").write_text("x = 2\n")]
    changes.append(lambda: write_preset(root / "params.yaml", "shapes", FOLDER | {"train.epochs": 1}))
    for change in changes:
        change()
        git(root, "add", "-A")
        git(root, "commit", "-qm", "more")
        digests.append(committed_recipe(root).digest)
    assert digests[0] == digests[1] and len(set(digests)) == 3


def test_other_data_than_the_committed_one_is_refused_with_the_key(root):
    write_preset(root / "params.yaml", "shapes", FOLDER | {"data.labels": "train.csv"})
    with pytest.raises(
        UserError, match=r"data.labels is 'train.csv' in params.yaml, but None in commit \w{7}, and a turn"
    ):
        committed_recipe(root)


def test_without_a_commit_or_with_a_wrong_one_the_way_out_is_named(root, tmp_path_factory):
    empty = tmp_path_factory.mktemp("empty")
    git(empty, "init", "-q")
    with pytest.raises(UserError, match=r"params.yaml of the current commit cannot be read .* `git commit` it"):
        committed_recipe(empty)
    write_preset(root / "params.yaml", "shapes", FOLDER | {"train.epochs": 0})
    git(root, "commit", "-qam", "wrong")
    with pytest.raises(UserError, match=r"params.yaml of commit \w{7}: train.epochs is 0"):
        committed_recipe(root)


def test_a_file_of_a_commit_is_read_and_one_that_is_not_there_is_none(root):
    commit = committed_recipe(root).commit
    assert file_at(root, commit, Path("dvc.yaml")) == {"stages": {}}
    assert file_at(root, commit, Path("images.dvc")) is None
