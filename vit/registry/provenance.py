"""A version's provenance, as trace and verify read it from MLflow."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ruamel.yaml import YAML

from vit.config.files import DVC_LOCK, ENVIRONMENT, PARAMS, PREDICTIONS
from vit.errors import UserError
from vit.files import read_json
from vit.registry.origin import CODE_DIFF, ORIGIN
from vit.registry.own import OwnVersion, version_and_run
from vit.registry.versions import resolve, run_of
from vit.tracking.own import folder_at

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion

FILES = (PARAMS.name, DVC_LOCK.name, CODE_DIFF, ORIGIN, PREDICTIONS)  # and ENVIRONMENT, if it is known


@dataclass(frozen=True)
class Provenance:
    """A version, the run that shows its training, and `folder` with `FILES` as they were when it was published."""

    version: "ModelVersion | OwnVersion"
    aliases: list[str]
    run_id: str
    run_name: str
    run_tags: dict[str, str]
    folder: Path

    @property
    def title(self) -> str:
        return f"version {self.version.version} of '{self.version.name}'"

    @property
    def origin(self) -> dict:
        return read_json(self.folder / ORIGIN)

    @property
    def environment(self) -> dict | None:
        """The environment of the training; None if its outputs came from DVC's cache and no record exists."""
        return read_json(self.folder / ENVIRONMENT) if (self.folder / ENVIRONMENT).is_file() else None

    @property
    def stages(self) -> dict[str, dict]:
        """The stages as dvc.lock has them, with the md5 of each dep and out."""
        return YAML(typ="safe", pure=True).load(self.folder / DVC_LOCK)["stages"]


def provenance_folder(version_key: str) -> str:
    """The files' folder in the run, which may hold several versions if a repeated training gave other weights."""
    return f"provenance/{version_key[:12]}"


@contextmanager
def provenance_of(model_uri: str) -> Iterator[Provenance]:
    """The provenance of `models:/name@alias` or `models:/name/version`, for the duration of the block.

    Raises UserError if the version does not exist or has no provenance.
    """
    if not model_uri.startswith("models:/"):
        raise UserError(f"'{model_uri}' is not a registered model; write models:/NAME@ALIAS or models:/NAME/VERSION")
    if (here := _own_provenance(model_uri)) is not None:
        yield here
        return
    with tempfile.TemporaryDirectory() as temporary:
        yield _downloaded_by_mlflow(model_uri, Path(temporary))


def _own_provenance(model_uri: str) -> Provenance | None:
    """From the repo's own store, without MLflow; None if it holds no complete provenance there."""
    known = version_and_run(model_uri)
    if known is None or not _shows(known[2].tags, known[0]):
        return None
    version, aliases, run = known
    files = folder_at(run.location)
    folder = None if files is None else files / provenance_folder(_key(version))
    if folder is None or _missing(folder):
        return None
    return Provenance(version, aliases, run.run_id, run.run_name, run.tags, folder)


def _downloaded_by_mlflow(model_uri: str, target: Path) -> Provenance:
    from vit.tracking.store import STORE_ERRORS, first_line, open_store

    client = open_store().client
    try:
        version = client.get_model_version(*resolve(client, model_uri))
        aliases = client.get_registered_model(version.name).aliases.items()
        run = _run_of(client, version)
    except STORE_ERRORS as error:
        raise UserError(f"no model '{model_uri}' in the registry ({first_line(error)})") from error
    holding = sorted(alias for alias, number in aliases if str(number) == str(version.version))
    try:
        folder = Path(client.download_artifacts(run.info.run_id, provenance_folder(_key(version)), str(target)))
    except STORE_ERRORS as error:
        raise UserError(f"{_lost(version, run)} ({first_line(error)})") from error
    if missing := _missing(folder):
        raise UserError(f"{_lost(version, run)} ({', '.join(missing)} missing)")
    return Provenance(version, holding, run.info.run_id, run.info.run_name, run.data.tags, folder)


def _run_of(client: "MlflowClient", version: "ModelVersion") -> "Run":
    """The run with the version's content: a later training may have produced the same weights."""
    home = run_of(client, version)
    if _shows(home.data.tags, version):
        return home
    content_key = version.tags.get("content_key")
    found = client.search_runs([home.info.experiment_id], f"tags.content_key = '{content_key}'")
    return found[0] if found else home


def _shows(run_tags: dict[str, str], version: "ModelVersion | OwnVersion") -> bool:
    return run_tags.get("content_key") == version.tags.get("content_key")


def _missing(folder: Path) -> list[str]:
    return [name for name in FILES if not (folder / name).is_file()]


def _key(version: "ModelVersion | OwnVersion") -> str:
    return version.tags.get("version_key", "")


def _lost(version: "ModelVersion", run: "Run") -> str:
    commit = run.data.tags.get("mlflow.source.git.commit", "an unknown commit")
    return f"version {version.version} of '{version.name}' has no provenance; `dvc repro` at {commit} publishes it"
