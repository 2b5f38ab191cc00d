"""The contents of a source: images, tables, other files and folders; nothing is copied."""

import os
from pathlib import Path
from typing import NamedTuple

from vit.data.formats import is_image
from vit.errors import UserError

# Files that file browsers leave behind; hidden files and folders are ignored too.
IGNORED_NAMES = {"__macosx", "thumbs.db", "desktop.ini"}


class Found(NamedTuple):
    """Files and folders below a source, relative to it and sorted. `links`: those not followed."""

    images: list[Path]
    tables: list[Path]
    others: list[Path]
    folders: list[Path]
    links: list[Path]


def list_files(root: Path, called: Path) -> Found:
    """Everything below `root` that is not hidden; links are followed only inside `root`, and never in a circle."""
    found = Found([], [], [], [], [])
    _list(root, root, [root], found, called)
    for paths in found:
        paths.sort()
    return found


def _list(folder: Path, root: Path, real_parents: list[Path], found: Found, called: Path) -> None:
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        raise UserError(f"{called}: '{folder}' cannot be read ({error.strerror}); change its permissions") from error
    for entry in entries:
        path = folder / entry.name
        name = path.relative_to(root)
        if entry.name.startswith(".") or entry.name.lower() in IGNORED_NAMES:
            continue
        try:
            entry.name.encode()
        except UnicodeEncodeError:
            raise UserError(f"{called}: the name {os.fsencode(name)!r} is not UTF-8; rename it") from None
        real = Path(os.path.realpath(path)) if entry.is_symlink() else real_parents[-1] / entry.name
        if entry.is_symlink() and (not real.exists() or not real.is_relative_to(root) or real in real_parents):
            found.links.append(name)
        elif entry.is_dir():
            found.folders.append(name)
            _list(path, root, [*real_parents, real], found, called)
        elif entry.is_file():
            _kind(path, found).append(name)


def _kind(path: Path, found: Found) -> list[Path]:
    if path.suffix.lower() == ".csv":
        return found.tables
    return found.images if is_image(path) else found.others
