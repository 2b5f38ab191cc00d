"""Versions and their files in the repo's own store, by the rules of `vit.tracking.own`: None if it cannot say."""

import re
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from vit.config.files import CONFIG
from vit.tracking import own

DELETED = "Deleted_Internal"  # MLflow keeps the rows of deleted versions
URI = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>.+)|/(?P<number>\d+))")
THIS = "workspace = 'default' AND name = ?"


@dataclass(frozen=True)
class OwnVersion:
    """A registered version, with the names of MLflow's `ModelVersion`; `location` is where its files are."""

    name: str
    version: int
    run_id: str | None
    creation_timestamp: int
    location: str
    tags: dict[str, str]


@dataclass(frozen=True)
class OwnRun:
    """A run: its id, its name, its tags, and where its files are."""

    run_id: str
    run_name: str
    tags: dict[str, str]
    location: str


def versions(name: str) -> tuple[dict[str, str], list[OwnVersion]] | None:
    """The aliases of the registered model `name` with the versions that they mean, and all its versions."""

    def question(connection: sqlite3.Connection) -> tuple[dict[str, str], list[OwnVersion]] | None:
        known = connection.execute(f"SELECT 1 FROM registered_models WHERE {THIS}", (name,)).fetchone()
        return None if known is None else (_aliases(connection, name), _versions(connection, name))

    return own.ask(question)


def version_and_run(model_uri: str) -> tuple[OwnVersion, list[str], OwnRun] | None:
    """The version at `models:/name@alias` or `models:/name/version`, its aliases, and the run that it lies below."""

    def question(connection: sqlite3.Connection) -> tuple[OwnVersion, list[str], OwnRun] | None:
        version = _find(connection, model_uri)
        run = None if version is None or version.run_id is None else _run(connection, version.run_id)
        if version is None or run is None:
            return None
        aliases = _aliases(connection, version.name)
        return version, sorted(alias for alias, number in aliases.items() if number == str(version.version)), run

    return own.ask(question)


def served_folder(model_uri: str, below: str) -> Path | None:
    """The folder `below` the files of the version at `models:/name@alias` or `models:/name/version`, if it holds a
    model. The alias is read anew each time, so a champion that has moved is followed at once."""
    version = own.ask(lambda connection: _find(connection, model_uri))
    files = None if version is None else own.folder_at(version.location)
    return None if files is None or not (files / below / CONFIG).is_file() else files / below


def _find(connection: sqlite3.Connection, model_uri: str) -> OwnVersion | None:
    match = URI.fullmatch(model_uri)
    if match is None:
        return None
    name, number = match["name"], match["number"] or _aliases(connection, match["name"]).get(match["alias"])
    return next((one for one in _versions(connection, name) if str(one.version) == number), None)


def _aliases(connection: sqlite3.Connection, name: str) -> dict[str, str]:
    rows = connection.execute(f"SELECT alias, version FROM registered_model_aliases WHERE {THIS}", (name,))
    return {row["alias"]: str(row["version"]) for row in rows}


def _versions(connection: sqlite3.Connection, name: str) -> list[OwnVersion]:
    tags: dict[int, dict[str, str]] = {}
    for row in connection.execute(f"SELECT version, key, value FROM model_version_tags WHERE {THIS}", (name,)):
        tags.setdefault(row["version"], {})[row["key"]] = row["value"]
    rows = connection.execute(f"SELECT * FROM model_versions WHERE {THIS} AND current_stage != ?", (name, DELETED))
    return [
        OwnVersion(
            name=row["name"],
            version=row["version"],
            run_id=row["run_id"],
            creation_timestamp=row["creation_time"],
            location=row["storage_location"] or row["source"],
            tags=tags.get(row["version"], {}),
        )
        for row in rows
    ]


def _run(connection: sqlite3.Connection, run_id: str) -> OwnRun | None:
    row = connection.execute(
        "SELECT name, artifact_uri FROM runs WHERE run_uuid = ? AND lifecycle_stage = 'active'", (run_id,)
    ).fetchone()
    tags = connection.execute("SELECT key, value FROM tags WHERE run_uuid = ?", (run_id,))
    return None if row is None else OwnRun(run_id, row["name"], dict(map(tuple, tags)), row["artifact_uri"])
