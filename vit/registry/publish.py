"""Publishing a training: one run and one version of the registered model per content."""

import tempfile
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import LoggedModel, Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from vit.errors import UserError
from vit.registry.champions import with_notes
from vit.registry.evidence import Candidacy
from vit.registry.gate import CHALLENGER
from vit.registry.golden import Evaluated
from vit.registry.judging import judge
from vit.registry.logged_model import (
    SOURCE,
    complete_logged_model,
    find_logged_model,
    find_or_create_logged_model,
    has_logged_model,
    link,
    show_version,
)
from vit.registry.looks import IMAGES, count_looks, digest_of_test_images, looks_line
from vit.registry.served import save_served, served_key
from vit.registry.tags import LOOKS
from vit.registry.versions import SERVED_FILES
from vit.tracking.run import RunContent, publish_run
from vit.tracking.store import STORE_ERRORS, Store, first_line, locked, open_store


@dataclass(frozen=True)
class Content(RunContent):
    """Everything that is published of one training: its run and its model version.

    `version_key` hashes weights, settings and split; `serving` holds the settings of the served model.
    """

    version_key: str
    version_tags: dict[str, str]
    model_folder: Path
    serving: dict[str, float | str]
    card: str
    candidacy: Candidacy


@dataclass(frozen=True)
class Published:
    """The result of `publish`; `location` is the URI of the version's files."""

    run: Run
    version: ModelVersion
    location: str
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
            content = _with_looks(store, run, content)
            version, version_changed = _publish_version(store.client, run, content, name)
            _set_challenger(store.client, name, version)
            location = store.client.get_model_version_download_uri(name, version.version)
        verdict = judge(store.client, name, version, content.candidacy)
    except STORE_ERRORS as error:
        raise UserError(f"publishing to MLflow failed ({first_line(error)}); run `dvc repro` again") from error
    return Published(run, version, location, verdict, run_changed or version_changed)


def _with_looks(store: Store, run: Run, content: Content) -> Content:
    """Mark the run as scored on its test images, and say on run, version and card how many runs were by now."""
    digest = digest_of_test_images(content.candidacy.images)
    if digest is None:
        return content
    if run.data.tags.get(IMAGES) != digest or LOOKS not in run.data.metrics:
        store.client.set_tag(run.info.run_id, IMAGES, digest)
        store.client.log_metric(run.info.run_id, LOOKS, count_looks(store, digest))
    looks = int(store.client.get_run(run.info.run_id).data.metrics[LOOKS])
    tags = content.version_tags | {LOOKS: str(looks)}
    return replace(content, card=f"{content.card}\n{looks_line(looks)}", version_tags=tags)


def _publish_version(client: MlflowClient, run: Run, content: Content, name: str) -> tuple[ModelVersion, bool]:
    _create_registered_model(client, name)
    found = _find_versions(client, name, content.version_key)
    homes = [(version, _home(client, version)) for version in found]
    version, home = next(((version, home) for version, home in homes if home is not None), (None, run))
    model, changed = _publish_model(client, home, version, content, name)
    for one in {home.info.run_id: home, run.info.run_id: run}.values():
        changed = link(client, one, model) or changed
    if version is None:
        source, tags = f"{SOURCE}{model.model_id}", _version_tags(content)
        version = client.create_model_version(
            name, source, home.info.run_id, tags, description=content.card, model_id=model.model_id
        )
        changed = True
    show_version(client, model, version)
    for other in found:
        if other.version != version.version:
            _inherit(client, name, other, version)
            version = client.get_model_version(name, version.version)
    if version.tags.get("published") != content.files_key:
        for key in content.description.params.keys() & version.tags.keys() - content.version_tags.keys():
            client.delete_model_version_tag(name, version.version, key)
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


def _home(client: MlflowClient, version: ModelVersion) -> Run | None:
    """The run that `version` lies below; None if it or the logged model is gone, and the version with it."""
    if version.run_id is None or (has_logged_model(version) and find_logged_model(client, version) is None):
        return None
    try:
        run = client.get_run(version.run_id)
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
    if (model := find_logged_model(client, old)) is not None:
        client.delete_logged_model(model.model_id)
    client.delete_model_version(name, old.version)


def _publish_model(
    client: MlflowClient, home: Run, version: ModelVersion | None, content: Content, name: str
) -> tuple[LoggedModel, bool]:
    model = None if version is None else find_logged_model(client, version)
    model = model or find_or_create_logged_model(client, home, name, content.version_key, content)
    changed = complete_logged_model(client, model, home, content, served_key(content.serving), partial(_save, content))
    if version is not None and not has_logged_model(version):
        changed = _update_below_run(client, home, content) or changed
    return model, changed


def _save(content: Content, path: Path) -> None:
    evaluated = Evaluated(content.candidacy.predictions, content.candidacy.raw)
    save_served(path, content.model_folder, content.serving, evaluated)


def _update_below_run(client: MlflowClient, run: Run, content: Content) -> bool:
    """Update a version of an earlier release, which serves a folder of its run; returns whether anything changed.

    New serving settings or newer code replace the old ones; weights and config.json stay the same.
    """
    folder = f"models/{content.version_key[:12]}"
    logged = f"logged/{folder}"
    wanted = served_key(content.serving)
    if run.data.tags.get(logged) == wanted and client.list_artifacts(run.info.run_id, f"{folder}/{SERVED_FILES}"):
        return False
    with tempfile.TemporaryDirectory() as temporary:
        _save(content, Path(temporary, "model"))
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
