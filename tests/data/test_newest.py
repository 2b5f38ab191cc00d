"""The newest version of a source, as its real client hears it from a server on this machine."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.drawn import draw
from tests.fake_hub import commit_of, hub
from tests.local_server import Answer, serving
from tests.presets import REPO, preset
from vit.config.schema import DataParams
from vit.data.sources.newest import newest

ASK = """
from vit.config.params_file import load_params
from vit.data.sources.newest import newest
from vit.errors import run_program
import json
run_program(lambda: print(json.dumps(newest(load_params().data, {branch!r}))))
"""
KAGGLE_PORT = 7777  # see tests/data/test_kaggle.py


def found(*arguments, **env: str) -> dict:
    done = asked(*arguments, **env)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])  # in its environment for tests, Kaggle's client prints requests


def asked(folder: Path, changes: dict, branch: str = "main", **env: str) -> subprocess.CompletedProcess:
    preset(folder, "shapes", changes)
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("KAGGLE", "HF_")) and not name.lower().endswith("_proxy")
    }
    command = [sys.executable, "-c", ASK.format(branch=branch)]
    env = inherited | {"PYTHONPATH": str(REPO), "HOME": str(folder)} | env
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=120)


@pytest.mark.slow
def test_a_kaggle_data_set_is_pinned_to_its_newest_version_unless_the_parameters_pin_one(tmp_path):
    numbers = [5, 6]

    def answer(path: str, body: bytes) -> Answer:
        assert path.endswith("/GetDataset")  # nothing is downloaded
        content = json.dumps({"currentVersionNumber": numbers.pop(0)}).encode()
        return Answer(200, content, {"Content-Type": "application/json"})

    kaggle = {"data.source": "kaggle", "data.kaggle_handle": "owner/good", "data.kaggle_retries": 0}
    env = {"KAGGLE_API_ENVIRONMENT": "TEST", "KAGGLEHUB_CACHE": str(tmp_path / "cache")}
    with serving(answer, KAGGLE_PORT):
        assert [found(tmp_path, kaggle, **env) for _ in range(2)] == [{"kaggle_version": 5}, {"kaggle_version": 6}]
        assert found(tmp_path, kaggle | {"data.kaggle_version": 2}, **env) == {}
    away = asked(tmp_path, kaggle, **env)
    assert away.returncode == 1 and away.stderr.startswith("error: Kaggle cannot be reached for 'owner/good'")


@pytest.mark.slow
def test_a_data_set_of_the_hub_is_pinned_to_the_newest_commit_of_a_branch(tmp_path):
    pytest.importorskip("datasets", reason="needs requirements-hub.txt")
    root = tmp_path / "hub"
    draw(root / "me/cups/train/cat/0.png", seed=0)
    old = commit_of(root / "me/cups")
    of_the_hub = {"data.source": "huggingface", "data.hub_name": "me/cups", "data.hub_revision": old}
    with serving(hub(root)) as address:
        env = {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "cache"), "HF_HUB_DISABLE_XET": "1"}
        assert found(tmp_path, of_the_hub, **env) == {"hub_revision": old}
        draw(root / "me/cups/train/cat/1.png", seed=1)
        new = commit_of(root / "me/cups")
        assert found(tmp_path, of_the_hub, **env) == {"hub_revision": new} and new != old
        missing = asked(tmp_path, of_the_hub, branch="refs/convert/parquet", **env)
    assert missing.returncode == 1 and "has no revision 'refs/convert/parquet'" in missing.stderr
    away = asked(tmp_path, of_the_hub, **env)
    assert away.returncode == 1 and away.stderr.startswith("error: ") and away.stderr.count("\n") == 1


def test_a_source_without_versions_has_none():
    assert newest(DataParams(source="folder"), "main") == newest(DataParams(source="digits"), "main") == {}
