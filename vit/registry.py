"""The registry: which contents are versions of the model, and which of them is the champion."""

import contextlib
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version as installed
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric, Run, RunTag
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from vit.errors import UserError
from vit.tracking import (
    STORE_ERRORS,
    RunDescription,
    Store,
    find_or_create_run,
    first_line,
    locked,
    open_store,
    send,
    send_missing,
)

log = logging.getLogger("vit")

SERVED_FILES = "artifacts/model"  # where MLflow puts, below a model, the folder that serving.py loads
CHAMPION, CHALLENGER = "champion", "challenger"
WAS_CHAMPION = "was_champion"
SERVED_WITH = ("mlflow", "torch", "numpy", "pandas", "pillow", "pydantic", "ruamel.yaml", "safetensors")


@dataclass(frozen=True)
class Content:
    """All that is published of one training: rebuilt from files, so that it can be published again at any time.

    `version_key` hashes weights, settings and split; `files_key` every published file. `summary` stands on run and
    version, `details` on the run only. `artifacts` maps a folder of the run to files. `may_lead` is False for a
    model that must never become champion by itself.
    """

    description: RunDescription
    version_key: str
    files_key: str
    points: Callable[[], list[Metric]]  # called only when there is something to publish
    summary: dict[str, float]
    details: dict[str, float]
    run_tags: Callable[[], dict[str, str]]  # as `points`
    version_tags: dict[str, str]
    artifacts: dict[str, list[Path]]
    model_folder: Path
    card: str
    may_lead: bool


@dataclass(frozen=True)
class Published:
    """What `publish` found or did, for a person to read."""

    run: Run
    version: ModelVersion
    verdict: str
    changed: bool


def publish(content: Content, name: str) -> Published:
    """See to it that `content` is exactly one finished run and one version of the registered model `name`.

    Doing it again changes nothing. Raises UserError if the store does not answer.
    """
    store = open_store()
    try:
        with locked():
            run, run_changed = _publish_run(store, content)
            version, version_changed = _publish_version(store.client, run, content, name)
            _set_alias(store.client, name, CHALLENGER, version)
            verdict = _judge(store.client, name, version, content.may_lead)
    except STORE_ERRORS as error:
        raise UserError(f"publishing to MLflow failed ({first_line(error)}); run `dvc repro` again") from error
    return Published(run, version, verdict, run_changed or version_changed)


def _publish_run(store: Store, content: Content) -> tuple[Run, bool]:
    client = store.client
    run = find_or_create_run(store, content.description)
    run_id = run.info.run_id
    complete = run.info.status == "FINISHED" and run.data.tags.get("published") == content.files_key
    if complete and not _missing_artifacts(client, run_id, content.artifacts):
        return run, False
    points = content.points()
    if send_missing(client, run_id, points):
        client.set_tag(run_id, "rebuilt_from_files", "true: points sent later carry no measured times")
    stamp = points[-1].timestamp
    finals = content.summary | content.details
    changed = {key: value for key, value in finals.items() if run.data.metrics.get(key) != value}
    send(client, run_id, [Metric(key, value, stamp, 0) for key, value in changed.items()])
    tags = [RunTag(key, value) for key, value in content.run_tags().items()]
    for start in range(0, len(tags), 100):
        client.log_batch(run_id, tags=tags[start : start + 100])
    for folder, files in content.artifacts.items():
        for file in files:
            client.log_artifact(run_id, str(file), folder or None)
    client.set_tag(run_id, "published", content.files_key)
    client.set_terminated(run_id, "FINISHED")
    return client.get_run(run_id), True


def _missing_artifacts(client: MlflowClient, run_id: str, artifacts: dict[str, list[Path]]) -> bool:
    for folder, files in artifacts.items():
        present = {Path(entry.path).name for entry in client.list_artifacts(run_id, folder or None)}
        if not {file.name for file in files} <= present:
            return True
    return False


def _publish_version(client: MlflowClient, run: Run, content: Content, name: str) -> tuple[ModelVersion, bool]:
    _create_registered_model(client, name)
    found = _find_versions(client, name, content.version_key)
    homes = {version.version: _active_run(client, version.run_id) for version in found}
    version = next((version for version in found if homes[version.version]), None)
    home = homes[version.version] if version else run
    changed = _log_model(client, home, content)
    if version is None:
        source = f"{home.info.artifact_uri}/{_folder(content.version_key)}"
        tags = _version_tags(content)
        version = client.create_model_version(name, source, home.info.run_id, tags, description=content.card)
        changed = True
    for other in found:
        if other.version != version.version:
            _inherit(client, name, other, version)
    if version.tags.get("published") != content.files_key:
        for key, value in _version_tags(content).items():
            client.set_model_version_tag(name, version.version, key, value)
        client.update_model_version(name, version.version, content.card)
        changed = True
    return client.get_model_version(name, version.version), changed


def _create_registered_model(client: MlflowClient, name: str) -> None:
    if client.search_registered_models(f"name = '{name}'"):
        return
    try:
        client.create_registered_model(
            name, description="Vision Transformers; the alias champion is the best one on val."
        )
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _find_versions(client: MlflowClient, name: str, version_key: str) -> list[ModelVersion]:
    found = client.search_model_versions(f"name = '{name}' and tags.version_key = '{version_key}'")
    return sorted(found, key=lambda version: int(version.version))


def _active_run(client: MlflowClient, run_id: str) -> Run | None:
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":  # a store that fails says nothing about the run
            raise
        return None
    return run if run.info.lifecycle_stage == "active" else None


def _inherit(client: MlflowClient, name: str, old: ModelVersion, new: ModelVersion) -> None:
    """The run below `old` is gone, and a version cannot be moved to another run: `new` takes over all it had."""
    for key, value in old.tags.items():
        client.set_model_version_tag(name, new.version, key, value)
    for alias in client.get_model_version(name, old.version).aliases:
        client.set_registered_model_alias(name, alias, new.version)
    client.delete_model_version(name, old.version)


def _folder(version_key: str) -> str:
    return f"models/{version_key[:12]}"


def _log_model(client: MlflowClient, run: Run, content: Content) -> bool:
    """Put the served model below `run`, each version in a folder of its own, unless it is there whole."""
    folder = _folder(content.version_key)
    logged = f"logged/{folder}"
    if logged in run.data.tags and client.list_artifacts(run.info.run_id, f"{folder}/{SERVED_FILES}"):
        return False
    from vit.serving import SIGNATURE  # costs seconds, and most calls find the model logged

    package = Path(__file__).parent
    with tempfile.TemporaryDirectory() as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # no input example: it would be an image of the data set
        mlflow.pyfunc.save_model(
            path=f"{temporary}/model",
            python_model=str(package / "serving.py"),
            artifacts={"model": str(content.model_folder)},
            code_paths=[str(package)],
            signature=SIGNATURE,
            pip_requirements=[f"{name}=={installed(name).split('+')[0]}" for name in SERVED_WITH],
        )
        client.log_artifacts(run.info.run_id, f"{temporary}/model", folder)
    client.set_tag(run.info.run_id, logged, "whole")
    return True


def _version_tags(content: Content) -> dict[str, str]:
    numbers = {key: f"{value:.6g}" for key, value in content.summary.items()}
    keys = {
        "version_key": content.version_key,
        "content_key": content.description.content_key,
        "published": content.files_key,
    }
    return {**content.description.tags, **content.version_tags, **numbers, **keys}


def _set_alias(client: MlflowClient, name: str, alias: str, version: ModelVersion) -> None:
    if _by_alias(client, name, alias) != str(version.version):
        client.set_registered_model_alias(name, alias, version.version)


def _by_alias(client: MlflowClient, name: str, alias: str) -> str | None:
    version = client.get_registered_model(name).aliases.get(alias)
    return None if version is None else str(version)  # a number from a database, a string from a server


def _judge(client: MlflowClient, name: str, candidate: ModelVersion, may_lead: bool) -> str:
    """Make `candidate` champion if there is none or it is better on val.

    Each pair of versions is judged once, and one that was champion before and no longer is returns only by hand.
    """
    holder = _by_alias(client, name, CHAMPION)
    if holder == str(candidate.version):
        client.set_model_version_tag(name, candidate.version, WAS_CHAMPION, "true")
        return "is champion"
    if not may_lead:
        return "trained on a subset, so it cannot become champion"
    if holder is None:
        _crown(client, name, candidate)
        return "is champion, as there was none"
    champion = client.get_model_version(name, holder)
    earlier = candidate.tags.get(_verdict_tag(champion)) or champion.tags.get(_verdict_tag(candidate))
    if earlier is not None:
        return f"was judged before against champion {holder}: {earlier}"
    if WAS_CHAMPION in candidate.tags:
        return f"was champion before {holder}; it returns only by hand"
    verdict, wins = _compare(candidate, champion)
    if wins:
        _crown(client, name, candidate)
    client.set_model_version_tag(name, candidate.version, _verdict_tag(champion), verdict)
    return f"{'is champion' if wins else f'does not replace champion {holder}'}: {verdict}"


def _crown(client: MlflowClient, name: str, version: ModelVersion) -> None:
    client.set_registered_model_alias(name, CHAMPION, version.version)
    client.set_model_version_tag(name, version.version, WAS_CHAMPION, "true")


def _verdict_tag(other: ModelVersion) -> str:
    return f"against/{other.tags['version_key'][:12]}" if "version_key" in other.tags else f"against/{other.version}"


def _compare(candidate: ModelVersion, champion: ModelVersion) -> tuple[str, bool]:
    if champion.tags.get("val_sha256") != candidate.tags["val_sha256"]:
        return "refused, they were not validated on the same images", False
    ours, theirs = (float(one.tags["best_val_accuracy"]) for one in (candidate, champion))
    return f"val accuracy {ours:.4f} against {theirs:.4f} of version {champion.version}", ours > theirs


@contextlib.contextmanager
def downloaded(model_uri: str) -> Iterator[Path]:
    """The folder with the weights of a model, for `Classifier.load`, from a local path or `models:/name@alias`.

    Raises UserError if there is no such model, version or alias.
    """
    if not model_uri.startswith("models:/"):
        yield Path(model_uri)
        return
    store = open_store()
    with tempfile.TemporaryDirectory() as folder:
        try:
            source = store.client.get_model_version_download_uri(*_resolve(store.client, model_uri))
            yield Path(mlflow.artifacts.download_artifacts(f"{source}/{SERVED_FILES}", dst_path=folder))
        except STORE_ERRORS as error:
            raise UserError(
                f"no model '{model_uri}' in the registry ({first_line(error)}); publish one with `dvc repro`"
            ) from error


def _resolve(client: MlflowClient, model_uri: str) -> tuple[str, str]:
    name, _, alias = model_uri.removeprefix("models:/").partition("@")
    if alias:
        return name, client.get_model_version_by_alias(name, alias).version
    name, _, version = name.partition("/")
    return name, version
