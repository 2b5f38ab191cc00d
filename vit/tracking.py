"""The MLflow store and the run: one experiment, one run per content, shown live and rebuilt from files at any time."""

import logging
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import mlflow
from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, Metric, Param, Run, ViewType
from mlflow.exceptions import MlflowException
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor
from sqlalchemy.exc import SQLAlchemyError

from vit.errors import UserError
from vit.files import project_root, replacing

log = logging.getLogger("vit")
logging.getLogger("mlflow").setLevel(logging.WARNING)
logging.getLogger("alembic").setLevel(logging.WARNING)

STORE_ERRORS = (MlflowException, SQLAlchemyError, sqlite3.Error, OSError)
LIVE_PATIENCE = 5  # seconds that a live request may take; the training does not wait for it
BATCH = 1000  # entries, MLflow's limit for one request
EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}  # how the UI shows it: trainings, not chats
LOCATIONS = [  # where MLflow's database keeps absolute paths
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
]


@dataclass(frozen=True)
class Store:
    """An MLflow client and the experiment that all runs of the project go to."""

    client: MlflowClient
    experiment_id: str


@dataclass(frozen=True)
class RunDescription:
    """What names and explains a run from its first moment: known before the training begins."""

    content_key: str
    name: str
    params: dict[str, object]
    tags: dict[str, str]
    dataset_digest: str
    dataset_source: str


def tracking_uri() -> str:
    """MLFLOW_TRACKING_URI, else mlflow.db at the root of the repo, also from queue and temp workspaces."""
    uri = os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    prefix, path = uri[:10], uri[10:]
    return f"{prefix}{project_root() / path}" if prefix == "sqlite:///" and not path.startswith("/") else uri


@contextmanager
def locked() -> Iterator[None]:
    """One process at a time: creating the database twice at once breaks its migration, judging twice a verdict."""
    with FileLock(project_root() / "mlflow.db.lock"):
        yield


def open_store() -> Store:
    """Connect, creating database and experiment at first use. Raises UserError if the store is away."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # MLflow's 7 take minutes when nothing answers
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    uri = tracking_uri()
    mlflow.set_tracking_uri(uri)
    database, artifacts = project_root() / "mlflow.db", project_root() / "mlruns"
    is_ours = uri == f"sqlite:///{database}"
    location = artifacts.as_uri() if is_ours else None
    try:
        with locked():
            if uri.startswith("sqlite:///") and not Path(uri[10:]).exists():
                _create_database(Path(uri[10:]))
            client = MlflowClient(uri)
            experiment = _experiment(client, os.environ.get("MLFLOW_EXPERIMENT_NAME") or "vit", location)
            if is_ours:
                _relocate(database, experiment.artifact_location, artifacts)
    except STORE_ERRORS as error:
        raise UserError(
            f"the MLflow store {uri} does not answer ({first_line(error)}); start it or unset MLFLOW_TRACKING_URI"
        ) from error
    return Store(client, experiment.experiment_id)


def _create_database(path: Path) -> None:
    """Under another name first: a database whose creation was cut off would never open again."""
    with replacing(path) as temporary:
        MlflowClient(f"sqlite:///{temporary}").search_experiments(max_results=1)


def _experiment(client: MlflowClient, name: str, location: str | None):
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        try:
            client.create_experiment(name, artifact_location=location, tags=EXPERIMENT_TAGS)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":  # another process was faster
                raise
        experiment = client.get_experiment_by_name(name)
    if experiment.lifecycle_stage == "deleted":
        client.restore_experiment(experiment.experiment_id)
    return experiment


def _relocate(database: Path, location: str, new: Path) -> None:
    """After the repo was moved: MLflow stores artifact locations absolute, so rewrite those below the old mlruns."""
    path = Path(unquote(location.removeprefix("file://")))
    old = next((folder for folder in (path, *path.parents) if folder.name == new.name), new)
    if old == new:
        return
    log.info(f"the repo was moved: MLflow's artifacts are now looked for in {new}")
    with closing(sqlite3.connect(database, timeout=30)) as connection, connection:
        for before, after in ((old.as_uri(), new.as_uri()), (str(old), str(new))):
            for table, column in LOCATIONS:
                statement = f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?"
                connection.execute(statement, (after, len(before) + 1, len(before), before))


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
    if not run.inputs.dataset_inputs:
        dataset = Dataset(description.dataset_source, description.dataset_digest[:36], "local", "data/raw")
        store.client.log_inputs(run.info.run_id, [DatasetInput(dataset)])
    return store.client.get_run(run.info.run_id)


def training_points(
    history: list[dict], learning_rates: list[float], clock: list[dict], first: int = 0
) -> list[Metric]:
    """Everything that a training measured from epoch index `first` on, as MLflow points.

    Losses and accuracies have the epoch as their step, `learning_rate` the optimizer step. Without `clock` (a
    training rebuilt from files) the points carry the present time, and no measured times are among them.
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
    """Send the points that the run lacks (MLflow would store a repeated one twice); return how many those were."""
    names = {point.key for point in points}
    present = {name: {point.step for point in client.get_metric_history(run_id, name)} for name in names}
    missing = [point for point in points if point.step not in present[point.key]]
    send(client, run_id, missing)
    return len(missing)


def send(client: MlflowClient, run_id: str, points: list[Metric]) -> None:
    for start in range(0, len(points), BATCH):
        client.log_batch(run_id, metrics=points[start : start + BATCH])


class LiveRun:
    """Shows a training in MLflow while it runs, from a thread of its own.

    A store that is away, or answers slowly, costs the training nothing: what it lacks is sent when it is back, or
    by `register`. Use as a context manager; the run ends FINISHED, or FAILED or KILLED by what left the block.
    """

    def __init__(self, description: RunDescription):
        self._description = description
        self._states: queue.SimpleQueue[list[Metric] | str] = queue.SimpleQueue()  # points, and a status to end with
        self._epochs_shown = 0
        self._thread = threading.Thread(target=self._work, name="mlflow", daemon=True)

    def __enter__(self) -> "LiveRun":
        os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "1"
        os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = str(LIVE_PATIENCE)
        self._states.put([])
        self._thread.start()
        return self

    def __exit__(self, kind, error, trace) -> None:
        self._states.put("FINISHED" if kind is None else "KILLED" if kind is KeyboardInterrupt else "FAILED")
        self._thread.join(timeout=4 * LIVE_PATIENCE)

    def show(self, history: list[dict], learning_rates: list[float], clock: list[dict]) -> None:
        """Hand over the training so far; call it only once the checkpoint that holds it is in place."""
        if self._thread.is_alive():
            self._states.put(training_points(history, learning_rates, clock, first=self._epochs_shown))
            self._epochs_shown = len(history)

    def _work(self) -> None:
        live: _Connection | None = None
        unsent: list[Metric] = []
        status = None
        while status is None:
            state = self._states.get()
            status = state if isinstance(state, str) else None
            unsent += [] if status else state
            try:
                live = live or _Connection(self._description)
                if live.was_finished:
                    break
                live.send(unsent, status)
                unsent = []
            except (UserError, *STORE_ERRORS) as error:
                log.warning(f"not shown live: {first_line(error)}. The training goes on; `register` publishes it")
        if live is not None:
            live.close()


class _Connection:
    """One run in a store that answered at least once."""

    def __init__(self, description: RunDescription):
        self._client, run = _open_run(description)
        self._run_id = run.info.run_id
        self._deliver = send_missing  # a resumed run has some points already
        self._monitor = None
        self.was_finished = run.info.status == "FINISHED"
        if self.was_finished:
            log.info(f"MLflow holds this training already: run '{run.info.run_name}'")
            return
        self._client.update_run(self._run_id, status="RUNNING")
        self._monitor = SystemMetricsMonitor(self._run_id, resume_logging=True, tracking_uri=tracking_uri())
        self._monitor.start()

    def send(self, points: list[Metric], status: str | None) -> None:
        deliver, self._deliver = self._deliver, send_missing  # after a failure nobody knows what arrived
        deliver(self._client, self._run_id, points)
        if status:
            self._client.set_terminated(self._run_id, status)
        self._deliver = send if points else deliver

    def close(self) -> None:
        if self._monitor is not None:
            self._monitor.finish()


def _open_run(description: RunDescription) -> tuple[MlflowClient, Run]:
    store = open_store()
    return store.client, find_or_create_run(store, description)


def first_line(error: Exception) -> str:
    """What an exception says, without the lines that explain it to programmers."""
    return str(error).strip().split("\n")[0] or type(error).__name__
