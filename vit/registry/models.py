"""A registered model by its URI, as a folder on this machine."""

import contextlib
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import mlflow
from mlflow import MlflowClient

from vit.errors import UserError
from vit.tracking.store import STORE_ERRORS, first_line, open_store

URI = re.compile(r"[a-z][a-z0-9+.-]+:/")  # two letters at least: C:/ is a drive
SERVED_FILES = "artifacts/model"  # where MLflow puts, below a model, the folder that is served


@contextlib.contextmanager
def downloaded(model_uri: str) -> Iterator[Path]:
    """The folder with the weights of a model, for `Classifier.load`: from a local folder of weights or of an MLflow
    model, `models:/name@alias`, `models:/name/version`, or the URI of an MLflow model such as `runs:/run/path`.

    Raises UserError if there is no such model, version or alias.
    """
    if not URI.match(model_uri):
        folder = Path(model_uri)
        yield folder / SERVED_FILES if (folder / "MLmodel").is_file() else folder
        return
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
                f"no model '{model_uri}'{where} ({first_line(error)}); publish one with `dvc repro`"
            ) from error


def resolve(client: MlflowClient, model_uri: str) -> tuple[str, str]:
    """Name and version number of `models:/name@alias` or `models:/name/version`."""
    name, _, alias = model_uri.removeprefix("models:/").partition("@")
    if alias:
        return name, client.get_model_version_by_alias(name, alias).version
    name, _, version = name.partition("/")
    return name, version
