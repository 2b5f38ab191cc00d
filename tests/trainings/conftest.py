"""A clone whose images are packed, to train in again and again."""

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from tests.conftest import Project, clone
from tests.presets import write_preset

# 280 images in batches of 32 are 9 steps an epoch.
STEPS_PER_EPOCH = 9
PARAMS = {"train.epochs": 8, "train.batch_size": 32, "train.checkpoint_steps": 4, "train.threads": 1}


@pytest.fixture(scope="session")
def packed(tmp_path_factory) -> Project:
    project = clone(tmp_path_factory.mktemp("work") / "packed")
    write_preset(project.folder / "params.yaml", "shapes", PARAMS)
    project.run("dvc repro pack weights")
    return project


class Trainee:
    """The train stage in a clone, with parameters, checkpoints and a store of its own."""

    def __init__(self, project: Project, folder: Path, **changes):
        self.folder, self.project, self.changes = folder, project, PARAMS | changes
        folder.mkdir(parents=True)
        self.uri = f"sqlite:///{folder}/mlflow.db"
        # DVC_ROOT is where checkpoints, logs and store lie, as in a queue run.
        self.env = project.env | {"DVC_ROOT": str(folder), "MLFLOW_TRACKING_URI": self.uri}

    def start(self, launcher: str = "python") -> subprocess.Popen:
        write_preset(self.project.folder / "params.yaml", "shapes", self.changes)
        return subprocess.Popen(
            [*launcher.split(), "-m", "stages.train"],
            cwd=self.project.folder,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def finish(self, launcher: str = "python") -> str:
        """Train to the end; returns what it wrote to stderr."""
        training = self.start(launcher)
        output, errors = training.communicate(timeout=300)
        assert training.returncode == 0, output + errors
        return errors

    def checkpoints(self) -> list[int]:
        """The steps of the states that are there, the newest first."""
        return sorted((int(file.stem[5:]) for file in self.folder.glob("checkpoints/*/step-*.pt")), reverse=True)

    def outputs(self) -> dict[str, bytes]:
        names = ("model/model.safetensors", "training/history.csv", "training/learning_rate.csv", "metrics/train.json")
        return {name: (self.project.folder / name).read_bytes() for name in names}

    def run(self) -> Run:
        """The one run of the store."""
        client = MlflowClient(self.uri)
        (run,) = client.search_runs([client.get_experiment_by_name("vit").experiment_id])
        return run

    def points(self, name: str) -> list[int]:
        """The steps of a metric in the order in which they were sent."""
        client = MlflowClient(self.uri)
        return [point.step for point in client.get_metric_history(self.run().info.run_id, name)]


def kill_group(training: subprocess.Popen) -> None:
    with suppress(ProcessLookupError):
        os.killpg(training.pid, signal.SIGKILL)
    training.communicate()
