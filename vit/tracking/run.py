"""The MLflow run of a content: finding or creating it, adding missing points, publishing it from files."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, Metric, Param, Run, RunTag, ViewType

from vit.tracking.store import Store

log = logging.getLogger("vit")

BATCH = 1000  # entries; MLflow's limit per request


@dataclass(frozen=True)
class RunDescription:
    """Name, parameters and tags of a run, known before the training begins."""

    content_key: str
    name: str
    params: dict[str, object]
    tags: dict[str, str]
    dataset_digest: str
    dataset_source: str


@dataclass(frozen=True)
class RunContent:
    """Everything that a training's run shows, read from files, so that it can be published again at any time.

    `files_key` hashes every published file. `summary` goes to run and version, `details` to the run only.
    `artifacts` maps a folder of the run to files.
    """

    description: RunDescription
    files_key: str
    points: Callable[[], list[Metric]]  # called only if there is something to publish
    summary: dict[str, float]
    details: dict[str, float]
    run_tags: Callable[[], dict[str, str]]  # as `points`
    artifacts: dict[str, list[Path]]


def find_run(store: Store, content_key: str) -> Run | None:
    """The run of this content; one that was deleted in the UI is restored."""
    found = store.client.search_runs(
        [store.experiment_id], f"tags.content_key = '{content_key}'", ViewType.ALL, order_by=["attributes.start_time"]
    )
    alive = [run for run in found if run.info.lifecycle_stage == "active"]
    if not alive and found:
        store.client.restore_run(found[0].info.run_id)
        return store.client.get_run(found[0].info.run_id)
    return alive[0] if alive else None


def finished_runs(store: Store) -> list[Run]:
    """All finished runs of the experiment, newest first."""
    runs, token = [], None
    while token != "":
        page = store.client.search_runs(
            [store.experiment_id],
            "attributes.status = 'FINISHED'",
            order_by=["attributes.start_time DESC"],
            page_token=token,
        )
        runs += page
        token = page.token or ""
    return runs


def finished_runs_like(store: Store, params: dict[str, object], may_differ: set[str]) -> list[Run]:
    """The finished runs with these flat parameters, except for those in `may_differ`; newest first."""
    wanted = {key: str(value) for key, value in params.items() if key not in may_differ}
    return [run for run in finished_runs(store) if wanted.items() <= run.data.params.items()]


def find_or_create_run(store: Store, description: RunDescription) -> Run:
    """The run of this content, with its parameters, tags and data set; never a second one."""
    run = find_run(store, description.content_key)
    if run is None:
        tags = {"content_key": description.content_key, **description.tags}
        run = store.client.create_run(store.experiment_id, tags=tags, run_name=description.name)
        log.debug(f"created run {run.info.run_id}")
    missing = [Param(key, str(value)) for key, value in description.params.items() if key not in run.data.params]
    for start in range(0, len(missing), 100):
        store.client.log_batch(run.info.run_id, params=missing[start : start + 100])
    if run.inputs is None or not run.inputs.dataset_inputs:
        dataset = Dataset(description.dataset_source, description.dataset_digest[:36], "local", "data/raw")
        store.client.log_inputs(run.info.run_id, [DatasetInput(dataset)])
    return store.client.get_run(run.info.run_id)


def training_points(
    history: list[dict], learning_rates: list[float], clock: list[dict], first: int = 0
) -> list[Metric]:
    """All measurements of a training from epoch index `first` on, as MLflow points.

    Losses and accuracies have the epoch as their step, `learning_rate` the optimizer step. Without `clock` (a
    training rebuilt from files) the points carry the current time, and there are no measured times.
    """
    points = []
    steps = len(learning_rates) // len(history) if history else 0
    for index in range(first, len(history)):
        row = history[index]
        measured = clock[index] if clock else {"time": time.time()}
        stamp = int(1000 * measured["time"])
        for name, value in (row | measured).items():
            if name not in ("epoch", "time"):
                points.append(Metric(name, value, stamp, row["epoch"]))
        for step in range(index * steps, (index + 1) * steps):
            points.append(Metric("learning_rate", learning_rates[step], stamp, step))
    return points


def send_missing(client: MlflowClient, run_id: str, points: list[Metric]) -> int:
    """Send the points that the run lacks (MLflow would store repeated ones twice); returns their number."""
    names = {point.key for point in points}
    present = {name: {point.step for point in client.get_metric_history(run_id, name)} for name in names}
    missing = [point for point in points if point.step not in present[point.key]]
    send(client, run_id, missing)
    return len(missing)


def send(client: MlflowClient, run_id: str, points: list[Metric]) -> None:
    for start in range(0, len(points), BATCH):
        client.log_batch(run_id, metrics=points[start : start + BATCH])


def publish_run(store: Store, content: RunContent) -> tuple[Run, bool]:
    """Make sure that `content` has one finished run; returns it and whether anything changed."""
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
