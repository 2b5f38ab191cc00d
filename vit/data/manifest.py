"""The manifest: all images with their classes, and the tables that say which split each belongs to."""

from pathlib import Path
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
    paths = sorted(path.relative_to(raw).as_posix() for path in raw.rglob("*") if path.is_file())
    return [Row(path, path.split("/")[0], path) for path in paths]


def given_part(path: str) -> str | None:
    """The source's own split of an image: the directory below its class, if that is train, val or test."""
    directories = path.split("/")[1:-1]
    return directories[0] if directories and directories[0] in PARTS else None


def read_rows(path: Path) -> list[Row]:
    return [Row(**row) for row in read_table(path)]
