"""What a clone's MLflow store holds, read with MLflow's own client."""

import itertools
from dataclasses import dataclass

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion

from tests.conftest import Project
from vit.tracking.store import sqlite_uri


@dataclass
class Held:
    """Active runs and versions, oldest first, and the aliases of the registered model."""

    client: MlflowClient
    runs: list[Run]
    versions: list[ModelVersion]
    aliases: dict[str, str]


LOOKS = itertools.count(20)


def look(project: Project, uri: str | None = None) -> Held:
    # MLflow keeps one connection per URI, which would go on reading a database file that a test deleted.
    client = MlflowClient(uri or f"{sqlite_uri(project.folder / 'mlflow.db')}?timeout={next(LOOKS)}")
    experiment = client.get_experiment_by_name("vit")
    runs = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time"])
    versions = sorted(client.search_model_versions("name = 'vit'"), key=lambda version: int(version.version))
    aliases = {alias: str(version) for alias, version in client.get_registered_model("vit").aliases.items()}
    return Held(client, runs, versions, aliases)


def stages_run(output: str) -> list[str]:
    """The stages that ran, by what `dvc repro` or `dvc exp run` printed; not those taken from the cache."""
    return [line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")]
