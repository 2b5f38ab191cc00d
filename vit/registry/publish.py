"""Publishing a training: one run and one version of the registered model per content."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from vit.errors import UserError
from vit.registry.champions import with_notes
from vit.registry.evidence import Candidacy
from vit.registry.gate import CHALLENGER
from vit.registry.judging import judge
from vit.registry.served import save_served, served_key
from vit.registry.versions import SERVED_FILES
from vit.tracking.run import RunContent, publish_run
from vit.tracking.store import STORE_ERRORS, first_line, locked, open_store


@dataclass(frozen=True)
class Content(RunContent):
    """Everything that is published of one training: its run and its model version.

    `version_key` hashes weights, settings and split; `serving` holds the settings of the served model.
    """

    version_key: str
    version_tags: dict[str, str]
    model_folder: Path
    serving: dict[str, int | str]
    card: str
    candidacy: Candidacy


@dataclass(frozen=True)
class Published:
    """The result of `publish`."""

    run: Run
    version: ModelVersion
    verdict: str
    changed: bool


def publish(content: Content, name: str) -> Published:
    """Make sure that `content` has exactly one finished run and one version of the registered model `name`.

    Repeating it changes nothing. Raises UserError if the MLflow store fails.
    """
    store = open_store()
    try:
        with locked():
            run, run_changed = publish_run(store, content)
            version, version_changed = _publish_version(store.client, run, content, name)
            _set_challenger(store.client, name, version)
        verdict = judge(store.client, name, version, content.candidacy)
    except STORE_ERRORS as error:
        raise UserError(f"publishing to MLflow failed ({first_line(error)}); run `dvc repro` again") from error
    return Published(run, version, verdict, run_changed or version_changed)


def _publish_version(client: MlflowClient, run: Run, content: Content, name: str) -> tuple[ModelVersion, bool]:
    _create_registered_model(client, name)
    found = _find_versions(client, name, content.version_key)
    homes = [(version, _active_run(client, version.run_id)) for version in found]
    version, home = next(((version, home) for version, home in homes if home is not None), (None, run))
    changed = _log_model(client, home, content)
    if version is None:
        source = f"{home.info.artifact_uri}/{_folder(content.version_key)}"
        tags = _version_tags(content)
        version = client.create_model_version(name, source, home.info.run_id, tags, description=content.card)
        changed = True
    for other in found:
        if other.version != version.version:
            _inherit(client, name, other, version)
            version = client.get_model_version(name, version.version)
    if version.tags.get("published") != content.files_key:
        for key, value in _version_tags(content).items():
            client.set_model_version_tag(name, version.version, key, value)
        client.update_model_version(name, version.version, with_notes(content.card, version.description))
        changed = True
    return client.get_model_version(name, version.version), changed


def _set_challenger(client: MlflowClient, name: str, version: ModelVersion) -> None:
    if str(client.get_registered_model(name).aliases.get(CHALLENGER)) != str(version.version):
        client.set_registered_model_alias(name, CHALLENGER, version.version)


def _create_registered_model(client: MlflowClient, name: str) -> None:
    if client.search_registered_models(f"name = '{name}'"):
        return
    try:
        client.create_registered_model(
            name, description="Image classifiers; the alias champion marks the best one on val."
        )
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _find_versions(client: MlflowClient, name: str, version_key: str) -> list[ModelVersion]:
    found = client.search_model_versions(f"name = '{name}' and tags.version_key = '{version_key}'")
    return sorted(found, key=lambda version: int(version.version))


def _active_run(client: MlflowClient, run_id: str | None) -> Run | None:
    if run_id is None:
        return None
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":  # a failing store is not a missing run
            raise
        return None
    return run if run.info.lifecycle_stage == "active" else None


def _inherit(client: MlflowClient, name: str, old: ModelVersion, new: ModelVersion) -> None:
    """Move tags, aliases and notes from `old`, whose run is gone, to `new`: a version cannot change its run."""
    for key, value in old.tags.items():
        client.set_model_version_tag(name, new.version, key, value)
    for alias in client.get_model_version(name, old.version).aliases:
        client.set_registered_model_alias(name, alias, new.version)
    client.update_model_version(name, new.version, with_notes(new.description or "", old.description))
    client.delete_model_version(name, old.version)


def _folder(version_key: str) -> str:
    return f"models/{version_key[:12]}"


def _log_model(client: MlflowClient, run: Run, content: Content) -> bool:
    """Upload the served model to `run`, in one folder per version, unless it is already there; returns whether it did.

    New serving settings or newer code replace the old ones; weights and config.json stay the same.
    """
    folder = _folder(content.version_key)
    logged = f"logged/{folder}"
    wanted = served_key(content.serving)
    if run.data.tags.get(logged) == wanted and client.list_artifacts(run.info.run_id, f"{folder}/{SERVED_FILES}"):
        return False
    with tempfile.TemporaryDirectory() as temporary:
        save_served(Path(temporary, "model"), content.model_folder, content.serving)
        client.log_artifacts(run.info.run_id, f"{temporary}/model", folder)
    client.set_tag(run.info.run_id, logged, wanted)
    return True


def _version_tags(content: Content) -> dict[str, str]:
    numbers = {key: f"{value:.6g}" for key, value in content.summary.items()}
    keys = {
        "version_key": content.version_key,
        "content_key": content.description.content_key,
        "published": content.files_key,
    }
    return {**content.description.tags, **content.version_tags, **numbers, **keys}
