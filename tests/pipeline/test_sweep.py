"""A queued sweep with two workers on a fresh clone, and a training that was killed."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.conftest import Project, clone, from_readme
from tests.pipeline.store import look
from vit.files import sha256_of


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


def test_a_killed_training_continues_in_the_same_run_and_ends_with_the_bytes_of_one_that_was_not(swept, tmp_path):
    # The same content as one of the sweep, so that it can be compared, hence with a store of its own.
    elsewhere = {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db"}
    swept.run("sed 's/^  lr: 0.002/  lr: 0.001/' presets/shapes.yaml > params.yaml && dvc repro pack")
    training = subprocess.Popen(
        ["python", "-m", "stages.train"], cwd=swept.folder, env=swept.env | elsewhere, stderr=subprocess.DEVNULL
    )
    checkpoint = _wait_for_checkpoint(swept.folder / "checkpoints")
    os.kill(training.pid, signal.SIGKILL)
    training.wait()
    assert checkpoint.exists() and not (swept.folder / "model/model.safetensors").exists()

    swept.run("python -m stages.train && python -m stages.evaluate", **elsewhere)
    assert not checkpoint.exists()
    (run,) = look(swept, elsewhere["MLFLOW_TRACKING_URI"]).runs
    assert run.info.status == "FINISHED" and "rebuilt_from_files" not in run.data.tags
    points = MlflowClient(elsewhere["MLFLOW_TRACKING_URI"]).get_metric_history(run.info.run_id, "val_accuracy")
    assert sorted(point.step for point in points) == list(range(1, 9))

    held = look(swept)
    (twin,) = [one for one in held.versions if one.tags["content_key"] == run.data.tags["content_key"]]
    weights = swept.folder / "model/model.safetensors"
    assert sha256_of(weights) == twin.tags["weights_sha256"]
    for path in ("training/history.csv", "training/training_curves.png", "evaluation/predictions.csv"):
        theirs = held.client.download_artifacts(twin.run_id, path, tmp_path)
        assert (swept.folder / path).read_bytes() == Path(theirs).read_bytes(), path


def _wait_for_checkpoint(folder: Path) -> Path:
    for _ in range(3000):
        if found := list(folder.glob("*.pt")):
            return found[0]
        time.sleep(0.01)
    raise AssertionError("no checkpoint within 30 s")
