"""Finding runs by id, name or model, and reading the tables published with them."""

import tempfile
from pathlib import Path

import mlflow
from mlflow.entities import Run

from vit.config.files import AUDITED_IMAGES, PREDICTIONS
from vit.errors import UserError
from vit.files import read_table
from vit.registry.versions import run_of, split_uri
from vit.tracking.run import finished_runs
from vit.tracking.store import STORE_ERRORS, Store, first_line, open_store


def find_named_run(store: Store, reference: str) -> Run:
    """The run with this id, or the one finished run of this name, or the run below `models:/name@alias` or `/version`.

    Raises UserError if there is none, or if several runs have the name.
    """
    if reference.startswith("models:/"):
        return _run_below(store, reference)
    runs = finished_runs(store)
    found = [run for run in runs if reference in (run.info.run_id, run.info.run_name)]
    if not found:
        newest = ", ".join(f"'{run.info.run_name}'" for run in runs[:5])
        raise UserError(f"no finished run has the id or name '{reference}'; the latest runs are {newest or 'none'}")
    if len(found) > 1:
        ids = ", ".join(run.info.run_id for run in found)
        raise UserError(f"{len(found)} runs are called '{reference}'; give the id of one: {ids}")
    return found[0]


def _run_below(store: Store, model_uri: str) -> Run:
    name, separator, asked = split_uri(model_uri)
    try:
        if separator == "@":
            version = store.client.get_model_version_by_alias(name, asked)
        else:
            version = store.client.get_model_version(name, asked)
        return run_of(store.client, version)
    except STORE_ERRORS as error:
        raise UserError(f"no model '{model_uri}' in the registry ({first_line(error)})") from error


def images_of(model_uri: str) -> list[dict[str, str]]:
    """All images of the split that `models:/name/version` was trained on, with split name and digests.

    Raises UserError if the version does not exist or has no such table.
    """
    return read_published_table(find_named_run(open_store(), model_uri), f"audit/{AUDITED_IMAGES}")


def predictions_of(run: Run) -> list[dict[str, str]]:
    """A row per test image. Raises UserError if the run has none."""
    return read_published_table(run, f"evaluation/{PREDICTIONS}")


def read_published_table(run: Run, path: str) -> list[dict[str, str]]:
    """The rows of a CSV among the artifacts of `run`. Raises UserError if it does not exist."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            file = mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path=path, dst_path=folder)
        except STORE_ERRORS as error:
            raise UserError(
                f"run '{run.info.run_name}' has no {path} ({first_line(error)}); publish it again"
            ) from error
        return read_table(Path(file))
