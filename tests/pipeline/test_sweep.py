"""A queued sweep with two workers on a fresh clone, and a training that was killed."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.conftest import Project, clone, from_readme
from tests.pipeline.store import look


@pytest.fixture(scope="module")
def swept(tmp_path_factory) -> Project:
    """A clone that knew nothing before its sweep, on the quick preset."""
    project = clone(tmp_path_factory.mktemp("work") / "sweep")
    project.run("cp presets/shapes.yaml params.yaml && git commit -qam shapes")
    project.run(from_readme("dvc exp run --queue"))
    project.run(from_readme("dvc queue start"))
    for _ in range(240):
        status = project.run(from_readme("dvc queue status")).stdout
        if "Queued" not in status and "Running" not in status:
            break
        time.sleep(0.5)
    assert "Failed" not in status, project.run("cat .dvc/tmp/exps/*/*/*.out || true").stdout
    project.run("dvc queue stop --kill || true")
    return project


def test_a_sweep_with_two_workers_loses_no_run_and_all_are_in_one_store(swept):
    held = look(swept)
    rates = sorted(run.data.params["train.lr"] for run in held.runs)
    assert from_readme("dvc exp run --queue").count("=0.001,0.003") == 1
    assert rates == ["0.001", "0.003"]
    assert all(run.info.status == "FINISHED" for run in held.runs)
    assert {run.info.run_name for run in held.runs} == set(swept.run("dvc exp list --name-only").stdout.split())
    assert [str(version.version) for version in held.versions] == ["1", "2"]
    assert held.aliases["champion"] in ("1", "2")
    scores = {str(version.version): float(version.tags["best_val_accuracy"]) for version in held.versions}
    assert scores[held.aliases["champion"]] == max(scores.values())


def test_a_killed_training_continues_in_the_same_run_and_ends_with_the_bytes_of_one_that_was_not(
    swept, tmp_path_factory
):
    project = clone(tmp_path_factory.mktemp("work") / "killed")
    project.run("sed 's/^  lr: 0.002/  lr: 0.001/' presets/shapes.yaml > params.yaml && dvc repro pack")
    training = subprocess.Popen(
        ["python", "-m", "stages.train"], cwd=project.folder, env=project.env, stderr=subprocess.DEVNULL
    )
    checkpoint = _wait_for_checkpoint(project.folder / "checkpoints")
    os.kill(training.pid, signal.SIGKILL)
    training.wait()
    assert checkpoint.exists() and not (project.folder / "model/model.safetensors").exists()

    project.run("dvc repro")
    assert not checkpoint.exists()
    held, uninterrupted = look(project), look(swept)
    (run,), (version,) = held.runs, held.versions
    (twin,) = [
        version for version in uninterrupted.versions if version.tags["content_key"] == run.data.tags["content_key"]
    ]
    assert version.tags["weights_sha256"] == twin.tags["weights_sha256"]
    assert version.tags["version_key"] == twin.tags["version_key"]
    assert outputs(project.read("dvc.lock")) == outputs(
        swept.run(f"git show {twin.tags['dvc_exp_name']}:dvc.lock").stdout
    )
    steps = [point.step for point in held.client.get_metric_history(run.info.run_id, "val_accuracy")]
    assert sorted(steps) == list(range(1, 9))
    assert "rebuilt_from_files" not in run.data.tags


def outputs(lock: str) -> dict[str, str]:
    """The md5 of every output of every stage: weights, curves, figures, predictions and metrics among them."""
    stages = YAML(typ="safe", pure=True).load(lock)["stages"]
    return {entry["path"]: entry["md5"] for stage in stages.values() for entry in stage.get("outs", [])}


def _wait_for_checkpoint(folder: Path) -> Path:
    for _ in range(3000):
        if found := list(folder.glob("*.pt")):
            return found[0]
        time.sleep(0.01)
    raise AssertionError("no checkpoint within 30 s")
