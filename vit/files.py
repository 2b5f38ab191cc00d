"""Atomic file writing: under a temporary name, then renamed."""

import csv
import glob
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil


def project_root() -> Path:
    """The user's repo, also in queued and --temp runs of DVC, which work in a temporary copy of it."""
    return Path(os.environ.get("DVC_ROOT", ".")).resolve()


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside `target`; rename it to `target` on success, delete it on failure."""
    temporary = _temporary_path(target)
    try:
        yield temporary
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(target: Path) -> Iterator[Path]:
    """Yield a new temporary folder beside `target`; it replaces `target` on success.

    At any moment `target` is complete, old or new, or for an instant absent.
    """
    with temporary_folder(target) as temporary, temporary_folder(target.with_name(f"{target.name}.old")) as old:
        yield temporary
        if target.exists():
            target.replace(old)  # deleting in place would leave an incomplete folder for a while
        temporary.replace(target)


@contextmanager
def temporary_folder(target: Path) -> Iterator[Path]:
    """Yield a new folder beside `target`, which need not exist, and delete it afterwards."""
    temporary = _temporary_path(target)
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _temporary_path(target: Path) -> Path:
    """`.<name>.<process>.tmp` beside `target`; leftovers of killed processes are deleted."""
    target.parent.mkdir(parents=True, exist_ok=True)
    for left in target.parent.glob(f".{glob.escape(target.name)}.*.tmp"):
        process = left.name.split(".")[-2]
        if process.isdigit() and not psutil.pid_exists(int(process)):
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)
    return target.with_name(f".{target.name}.{os.getpid()}.tmp")


def write_text(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: object) -> None:
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path):
    return json.loads(path.read_text(encoding="utf-8"))


def write_table(path: Path, rows: Iterable[dict], columns: list[str] | None = None) -> None:
    """Write rows with equal keys as CSV, the keys as header; `columns` is needed if the table may be empty, and if the
    rows are made one by one."""
    if columns is None:
        rows = list(rows)
        columns = list(rows[0])
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def iterate_table(path: Path) -> Iterator[dict[str, str]]:
    """The rows of a CSV file one by one, for large tables."""
    with path.open(newline="", encoding="utf-8") as file:
        yield from csv.DictReader(file)


def read_table(path: Path) -> list[dict[str, str]]:
    return list(iterate_table(path))


def sha256_of(*paths: Path) -> str:
    """One hex digest over the bytes of the files, in the given order."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
