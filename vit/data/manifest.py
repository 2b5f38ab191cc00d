"""The manifest: all images with their classes, and the tables that say which split each belongs to."""

import os
from collections.abc import Iterator
from pathlib import Path
from sys import intern
from typing import NamedTuple

from vit.files import read_table

PARTS = ("train", "val", "test")


class Row(NamedTuple):
    """One image: its path relative to data/raw, its class, and the group that must stay in one split."""

    path: str
    label: str
    group: str


def list_images(raw: Path) -> list[Row]:
    """Every file below `raw`, sorted; its class is the first directory, and each is a group of its own."""
    return [Row(path, intern(path.split("/", 1)[0]), path) for path in sorted(_files(raw, ""))]


def _files(folder: Path | str, before: str) -> Iterator[str]:
    """The files below a folder, with `before` in front; pathlib would take ten times as long for a million."""
    try:
        entries = list(os.scandir(folder))
    except FileNotFoundError:
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _files(entry.path, f"{before}{entry.name}/")
        elif entry.is_file():
            yield before + entry.name


def given_part(path: str) -> str | None:
    """The source's own split of an image: the directory below its class, if that is train, val or test."""
    directories = path.split("/")[1:-1]
    return directories[0] if directories and directories[0] in PARTS else None


def read_rows(path: Path) -> list[Row]:
    return [Row(**row) for row in read_table(path)]
