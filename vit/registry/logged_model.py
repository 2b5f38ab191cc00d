"""The logged model of a version: what MLflow's pages show of a trained model, and what the registry serves.

It is linked from its run, holds the run's parameters and final metrics, and its files are the served model.
"""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import LoggedModel, LoggedModelOutput, LoggedModelStatus, Metric, Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_MODEL_VERSIONS

from vit.registry.versions import SERVED_FILES
from vit.serving.golden import GOLDEN
from vit.tracking.run import RunContent, send

SOURCE = "models:/"  # + id: the source of a version that has a logged model; earlier releases served from the run
SERVED = "served"  # tag: the key of the served files, set once they are complete


def find_logged_model(client: MlflowClient, version: ModelVersion) -> LoggedModel | None:
    """The logged model that `version` serves; None if it was deleted, or never made by an earlier release."""
    if not has_logged_model(version):
        return None
    try:
        return client.get_logged_model((version.source or "").removeprefix(SOURCE))
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":  # another error of the store says nothing about the model
            raise
        return None


def has_logged_model(version: ModelVersion) -> bool:
    return (version.source or "").startswith(SOURCE)


def find_or_create_logged_model(
    client: MlflowClient, home: Run, name: str, version_key: str, content: RunContent
) -> LoggedModel:
    """The logged model of this version key below the run `home`, with the run's parameters; never a second one."""
    wanted = f"tags.version_key = '{version_key}' AND source_run_id = '{home.info.run_id}'"
    if found := client.search_logged_models([home.info.experiment_id], wanted):
        return min(found, key=lambda model: model.creation_timestamp)
    return client.create_logged_model(
        home.info.experiment_id,
        f"{name.replace('.', '_')}-{version_key[:7]}",  # MLflow refuses dots
        source_run_id=home.info.run_id,
        tags=content.description.tags | {"version_key": version_key, "content_key": content.description.content_key},
        params={key: str(value) for key, value in content.description.params.items()},
    )


def complete_logged_model(
    client: MlflowClient,
    model: LoggedModel,
    home: Run,
    content: RunContent,
    wanted: str,
    save: Callable[[Path], None],
) -> bool:
    """Give `model` the files it serves, which `save` writes and `wanted` is the key of, and the metrics that it lacks;
    return whether it lacked anything."""
    changed = _upload(client, model, wanted, save)
    changed = _log_metrics(client, model, home, content) or changed
    if model.status != LoggedModelStatus.READY:
        client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
        changed = True
    return changed


def link(client: MlflowClient, run: Run, model: LoggedModel) -> bool:
    """Show `model` as an output of `run`, once."""
    outputs = [] if run.outputs is None else run.outputs.model_outputs
    if any(output.model_id == model.model_id for output in outputs):
        return False
    client.log_outputs(run.info.run_id, [LoggedModelOutput(model.model_id, step=0)])
    return True


def show_version(client: MlflowClient, model: LoggedModel, version: ModelVersion) -> None:
    """Let MLflow's pages name the version beside its model; only a server does so by itself."""
    shown = json.loads(model.tags.get(MLFLOW_MODEL_VERSIONS, "[]"))
    present = {"name": version.name, "version": str(version.version)}
    wanted = [*(one for one in shown if one["name"] != version.name), present]
    if shown != wanted:
        client.set_logged_model_tags(model.model_id, {MLFLOW_MODEL_VERSIONS: json.dumps(wanted)})


def _upload(client: MlflowClient, model: LoggedModel, wanted: str, save: Callable[[Path], None]) -> bool:
    present = all(client.list_logged_model_artifacts(model.model_id, folder) for folder in (SERVED_FILES, GOLDEN))
    if model.tags.get(SERVED) == wanted and present:
        return False
    with tempfile.TemporaryDirectory() as temporary:
        save(Path(temporary, "model"))
        client.log_model_artifacts(model.model_id, f"{temporary}/model")
    client.set_logged_model_tags(model.model_id, {SERVED: wanted})
    return True


def _log_metrics(client: MlflowClient, model: LoggedModel, home: Run, content: RunContent) -> bool:
    """The final metrics, as points of the run: one sent again at its own time is not stored twice."""
    present = {point.key: point.value for point in sorted(model.metrics or [], key=lambda point: point.timestamp)}
    missing = [key for key, value in content.summary.items() if present.get(key) != value]
    described, run_id = content.description, home.info.run_id
    points = []
    for key in missing:
        newest = client.get_metric_history(run_id, key)[-1]
        of_model = (model.model_id, described.dataset_source, described.dataset_digest[:36], run_id)
        points.append(Metric(key, newest.value, newest.timestamp, newest.step, *of_model))
    send(client, run_id, points)
    return bool(points)
