"""Registered models by URI, and the folder with their files.

MLflow takes two seconds to import, so the functions that need it import it, after the repo's own store was asked.
"""

import contextlib
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from vit.config.files import CONFIG
from vit.errors import UserError
from vit.files import read_json
from vit.registry import own

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion

URI = re.compile(r"[a-z][a-z0-9+.-]+:/")  # at least two letters: C:/ is a drive
SERVED_FILES = "artifacts/model"  # the folder inside an MLflow model that is served


@contextlib.contextmanager
def downloaded(model_uri: str) -> Iterator[Path]:
    """The folder with a model's weights, to be read only: of a local folder with weights or an MLflow model,
    `models:/name@alias`, `models:/name/version`, or the URI of an MLflow model such as `runs:/run/path`.

    Raises UserError if the model, version or alias does not exist.
    """
    if not URI.match(model_uri):
        folder = Path(model_uri)
        yield folder / SERVED_FILES if (folder / "MLmodel").is_file() else folder
        return
    if (here := own.served_folder(model_uri, SERVED_FILES)) is not None:
        yield here
        return
    with _downloaded_by_mlflow(model_uri) as folder:
        yield folder


@contextlib.contextmanager
def _downloaded_by_mlflow(model_uri: str) -> Iterator[Path]:
    import mlflow

    from vit.tracking.store import STORE_ERRORS, first_line, open_store

    store = open_store()
    with tempfile.TemporaryDirectory() as folder:
        try:
            source = model_uri.rstrip("/")
            if model_uri.startswith("models:/"):
                source = store.client.get_model_version_download_uri(*resolve(store.client, model_uri))
            yield Path(mlflow.artifacts.download_artifacts(f"{source}/{SERVED_FILES}", dst_path=folder))
        except STORE_ERRORS as error:
            where = " in the registry" if model_uri.startswith("models:/") else ""
            raise UserError(
                f"no model '{model_uri}'{where} ({first_line(error)}); `dvc repro` publishes one, and "
                "`vit registry list` says why a version is not champion"
            ) from error


def read_config(client: "MlflowClient", name: str, version: "ModelVersion") -> dict | None:
    """The settings (config.json) of a version, without its weights; None if it is not a model of this pipeline."""
    import mlflow

    source = client.get_model_version_download_uri(name, version.version)
    listed = mlflow.artifacts.list_artifacts(artifact_uri=f"{source}/{SERVED_FILES}")
    if not any(Path(entry.path).name == CONFIG for entry in listed):
        return None
    with tempfile.TemporaryDirectory() as folder:
        return read_json(
            Path(mlflow.artifacts.download_artifacts(f"{source}/{SERVED_FILES}/{CONFIG}", dst_path=folder))
        )


@contextlib.contextmanager
def registry() -> Iterator["MlflowClient"]:
    """The registry, for a command; its errors become a UserError."""
    from vit.tracking.store import STORE_ERRORS, first_line, open_store

    client = open_store().client
    try:
        yield client
    except STORE_ERRORS as error:
        raise UserError(
            f"{first_line(error)}; `vit registry list` shows all versions, `dvc repro` publishes one"
        ) from error


def find_version(client: "MlflowClient", name: str, asked: str) -> "ModelVersion":
    """A version by number or alias. Raises UserError if it does not exist."""
    known = client.get_registered_model(name).aliases
    number = asked if asked.isdigit() else known.get(asked.removeprefix("@"))
    if number is None:
        raise UserError(f"'{asked}' is neither a number nor an alias of '{name}' ({', '.join(sorted(known))})")
    return client.get_model_version(name, str(number))


def run_of(client: "MlflowClient", version: "ModelVersion") -> "Run":
    """The run of a version. Raises UserError if it was registered without one."""
    if version.run_id is None:
        raise UserError(f"version {version.version} of '{version.name}' has no run; `dvc repro` publishes one")
    return client.get_run(version.run_id)


def split_uri(model_uri: str) -> tuple[str, str, str]:
    """Name, separator (@, / or empty) and alias or number of `models:/name@alias` or `models:/name/version`."""
    match = re.fullmatch(r"models:/([^/@]*)([/@]?)(.*)", model_uri)
    if match is None:
        raise UserError(f"'{model_uri}' is not a registered model; write models:/NAME@ALIAS or models:/NAME/VERSION")
    return match[1], match[2], match[3]


def pinned(model_uri: str) -> str:
    """`models:/name/version` that `models:/name@alias` refers to now. Raises UserError if it does not exist."""
    name, _, asked = split_uri(model_uri)
    with registry() as client:
        return f"models:/{name}/{find_version(client, name, asked).version}"


def resolve(client: "MlflowClient", model_uri: str) -> tuple[str, str]:
    """Name and version number of `models:/name@alias` or `models:/name/version`."""
    name, _, alias = model_uri.removeprefix("models:/").partition("@")
    if alias:
        return name, client.get_model_version_by_alias(name, alias).version
    name, _, version = name.partition("/")
    return name, version
