"""The MLflow store: one experiment in the repo's own database or on a server, opened by one process at a time."""

import logging
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import mlflow
from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities import Experiment
from mlflow.exceptions import MlflowException
from mlflow.store.db.db_types import DATABASE_ENGINES
from sqlalchemy import URL, create_engine, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from vit.errors import UserError
from vit.files import project_root, replacing
from vit.redaction import redacted
from vit.tracking.page import VIEW_TAG, view

log = logging.getLogger("vit")
logging.getLogger("mlflow").setLevel(logging.WARNING)
logging.getLogger("alembic").setLevel(logging.WARNING)

STORE_ERRORS = (MlflowException, SQLAlchemyError, sqlite3.Error, OSError)
EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}  # the UI then shows trainings, not chats
ARTIFACT_ROOT = "_MLFLOW_SERVER_ARTIFACT_ROOT"  # how MLflow's server tells its processes
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


def first_line(error: Exception) -> str:
    """The first line of an exception's message, without secrets."""
    return redacted(str(error)).strip().split("\n")[0] or type(error).__name__


def tracking_uri() -> str:
    """MLFLOW_TRACKING_URI, else mlflow.db at the root of the repo, also from queue and temp workspaces."""
    uri = os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    path = sqlite_path(uri)
    return uri if path is None or path.is_absolute() else sqlite_uri(project_root() / path)


def sqlite_uri(path: Path) -> str:
    """The URI of a database file, quoted: `%`, `?` and `#` in a path mean something else in a URI.

    It names the driver, as MLflow takes the rest of `sqlite:///` for a path and makes a folder with that quoted name.
    """
    return URL.create("sqlite+pysqlite", database=str(path)).render_as_string()


def sqlite_path(uri: str) -> Path | None:
    """The database file that a URI names, if it names one."""
    try:
        url = make_url(uri)
    except ArgumentError:  # no database at all, such as http://...
        return None
    is_file = url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:")
    return Path(url.database) if is_file and url.database else None


def has_own_database() -> bool:
    """Whether the store is the file at the root of the repo, used only by this repo's processes."""
    return sqlite_path(tracking_uri()) == project_root() / "mlflow.db"


@contextmanager
def locked() -> Iterator[None]:
    """Hold the store's file lock: concurrent creation breaks the database's migration, concurrent judging a verdict."""
    with FileLock(project_root() / "mlflow.db.lock"):
        yield


def open_store(beside: str = "") -> Store:
    """Connect, creating database and experiment at first use; `beside` is added to the experiment's name, for what
    is no training. Raises UserError if the store is unreachable."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # MLflow's 7 retries take minutes if nothing responds
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"  # MLflow's URL of a run contains the password
    uri = tracking_uri()
    mlflow.set_tracking_uri(uri)
    database, artifacts = project_root() / "mlflow.db", project_root() / "mlruns"
    is_ours = has_own_database()
    location = artifacts.as_uri() if is_ours else None
    file = sqlite_path(uri)
    try:
        with locked():
            if file is not None and not file.exists():
                _create_database(file)
            _connect_once(uri)
            client = MlflowClient(uri)
            name = (os.environ.get("MLFLOW_EXPERIMENT_NAME") or "vit") + beside
            experiment = _experiment(client, name, location)
            if is_ours:
                _relocate(database, experiment.artifact_location, artifacts)
    except (*STORE_ERRORS, ImportError) as error:
        raise UserError(
            f"the MLflow store {redacted(uri)} does not respond ({first_line(error)}); {_way_out(error, uri)}"
        ) from error
    return Store(client, experiment.experiment_id)


def _create_database(path: Path) -> None:
    """Under another name first: a database whose creation was cut off would never open again."""
    # MLflow writes the folder of experiment 0 into its SQL as it is; quoted as a URI, it holds no apostrophe.
    os.environ[ARTIFACT_ROOT] = (path.parent / "mlruns").as_uri()
    try:
        with replacing(path) as temporary:
            MlflowClient(sqlite_uri(temporary)).search_experiments(max_results=1)
    finally:
        del os.environ[ARTIFACT_ROOT]


def _connect_once(uri: str) -> None:
    """Fail at once where MLflow would try a database ten times, in 105 seconds."""
    if urlsplit(uri).scheme.partition("+")[0] in DATABASE_ENGINES:
        engine = create_engine(uri)
        try:
            engine.connect().close()
        finally:
            engine.dispose()


def _way_out(error: Exception, uri: str) -> str:
    if isinstance(error, (ImportError, NoSuchModuleError)):
        return "install its driver: `pip install -r requirements-remote.txt -c constraints.txt` has PostgreSQL's"
    if isinstance(error, MlflowException) and error.get_http_status_code() in (401, 403):
        return "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
    if has_own_database():
        return "check that it can be read and written, and that MLflow wrote it"
    return "start it, correct MLFLOW_TRACKING_URI, or unset it for the database of this project"


def _experiment(client: MlflowClient, name: str, location: str | None) -> Experiment:
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        try:
            client.create_experiment(name, artifact_location=location, tags=EXPERIMENT_TAGS)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":  # another process was faster
                raise
        experiment = client.get_experiment_by_name(name)
        if experiment is None:
            raise MlflowException(f"the experiment '{name}' was created but is not found")
    if experiment.lifecycle_stage == "deleted":
        client.restore_experiment(experiment.experiment_id)
    if VIEW_TAG not in experiment.tags:  # one that a person changed in the UI stays
        client.set_experiment_tag(experiment.experiment_id, VIEW_TAG, view(now=time.time_ns() // 1_000_000))
    return experiment


def _relocate(database: Path, location: str, new: Path) -> None:
    """After the repo was moved, rewrite artifact locations below the old mlruns: MLflow stores absolute paths."""
    path = Path(unquote(location.removeprefix("file://")))
    old = next((folder for folder in (path, *path.parents) if folder.name == new.name), new)
    if old == new:
        return
    log.info(f"the repo was moved; MLflow's artifacts are now read from {new}")
    with closing(sqlite3.connect(database, timeout=30)) as connection, connection:
        for before, after in ((old.as_uri(), new.as_uri()), (str(old), str(new))):
            for table, column in LOCATIONS:
                statement = f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?"
                connection.execute(statement, (after, len(before) + 1, len(before), before))
