"""The repo's own store read without MLflow, whose import alone takes two seconds: a command that only looks has ended
by then.

It answers only what is plainly there. Where the store is elsewhere, was written by another release of MLflow, lay in
another folder, or lacks what is asked for, the answer is None: the caller then asks MLflow, which also says what is
wrong.
"""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote, urlsplit

from vit.files import project_root

ANSWER = TypeVar("ANSWER")
SCHEMA = "dc11669786a5"  # of the database that the MLflow of requirements.txt writes: the tables known here
ELSEWHERE = ("MLFLOW_REGISTRY_URI", "MLFLOW_WORKSPACE")  # would name another registry
PATIENCE = 5.0  # seconds to wait for a process that is writing


def database() -> Path:
    return project_root() / "mlflow.db"


def artifacts() -> Path:
    return project_root() / "mlruns"


def is_own() -> bool:
    """Whether runs and registry are in the repo's own database, as they are unless the environment says otherwise."""
    return _is_default(os.environ.get("MLFLOW_TRACKING_URI") or "") and not any(map(os.environ.get, ELSEWHERE))


def _is_default(uri: str) -> bool:
    """Whether `uri` is empty, or what `vit.tracking.store` has MLflow export in a process that opened the store."""
    return not uri or (uri.startswith("sqlite+pysqlite:///") and unquote(uri.partition(":///")[2]) == str(database()))


def ask(question: Callable[[sqlite3.Connection], ANSWER | None]) -> ANSWER | None:
    """What `question` finds in the database, in one read-only transaction."""
    if not is_own() or not database().is_file():
        return None
    try:
        with closing(sqlite3.connect(f"{database().as_uri()}?mode=ro", uri=True, timeout=PATIENCE)) as connection:
            connection.row_factory = sqlite3.Row
            connection.execute("BEGIN")
            return question(connection) if _is_known(connection) else None
    except sqlite3.Error:
        return None


def _is_known(connection: sqlite3.Connection) -> bool:
    (schema,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    here = connection.execute("SELECT 1 FROM experiments WHERE artifact_location = ?", (artifacts().as_uri(),))
    return schema == SCHEMA and here.fetchone() is not None


def folder_at(uri: str | None) -> Path | None:
    """The folder at an artifact URI, if it exists below the repo's own."""
    parts = urlsplit(uri or "")
    folder = Path(unquote(parts.path))
    is_here = parts.scheme == "file" and not parts.netloc and folder.is_relative_to(artifacts())
    return folder if is_here and folder.is_dir() else None
