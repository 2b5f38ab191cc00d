"""Images and tables of a folder or archive, copied: the source is only read, and nothing is linked to it."""

import logging
import os
import shutil
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from vit.config.schema import DataParams
from vit.data.images import SUFFIXES
from vit.data.sources.archives import ENDINGS, require_space, unpack
from vit.data.sources.layout import Placed, arrange
from vit.errors import UserError
from vit.files import project_root, temporary_folder

log = logging.getLogger("vit")

# What file browsers leave behind; hidden files and folders are ignored too.
IGNORED_NAMES = {"__macosx", "thumbs.db", "desktop.ini"}


class Found(NamedTuple):
    """Files and folders below a source, relative to it and sorted. `links`: those not followed."""

    images: list[Path]
    tables: list[Path]
    others: list[Path]
    folders: list[Path]
    links: list[Path]


def fetch_folder(data: DataParams, raw: Path, tables: Path) -> dict:
    """Copy the folder or archive `data.path`, as `copy_source` does."""
    return copy_source(_absolute(data.path), raw, tables, data.class_level)


def _absolute(path: str) -> Path:
    if path.split("/")[0] == "~":
        raise UserError(f"data.path '{path}': DVC does not know '~'; set data.path={Path(path).expanduser()}")
    absolute = project_root() / path
    if not Path(path).is_absolute() and Path.cwd() != project_root():
        # The copy that such a run works in holds what git tracks: a folder of images is missing there or not whole.
        raise UserError(
            f"data.path '{path}' is relative, which a queue or temp run cannot follow; set data.path={absolute}"
        )
    return absolute


def copy_source(source: Path, raw: Path, tables: Path, class_level: int | str = "auto") -> dict:
    """Copy the images of a folder or archive to `raw` and its CSV files outside of the classes to `tables`.

    Returns version, ignored and skipped_links as `fetch` does. Raises UserError if the source is missing, broken,
    hostile, too large for the disk or holds no classes.
    """
    if not source.exists():
        raise UserError(f"data.path {source}: no such folder or archive")
    if source.is_dir():
        return {"version": f"folder {source.name}", **copy_folder(source, raw, tables, source, class_level)}
    if not source.name.lower().endswith(ENDINGS):
        raise UserError(f"data.path {source}: neither a folder nor an archive ({', '.join(ENDINGS)})")
    with temporary_folder(raw.parent / "unpacked") as unpacked:
        unpack(source, unpacked)
        return {
            "version": f"archive {source.name}",
            **copy_folder(unpacked, raw, tables, source, class_level, may_move=True),
        }


def copy_folder(
    root: Path, raw: Path, tables: Path, called: Path, class_level: int | str = "auto", may_move: bool = False
) -> dict:
    """Copy, or move, images and tables of a folder that errors call `called`; return ignored and skipped_links.

    `class_level` says which folders are the classes, as `arrange` reads it.

    Raises UserError as `copy_source` does.
    """
    root = root.resolve()
    if raw.resolve().is_relative_to(root):
        raise UserError(f"{called}: holds {raw.parent}, which the images are copied to; name a folder of images alone")
    found = list_files(root, called)
    _report_links(found.links, called)
    _refuse_without_images(found, called)
    placed = arrange(found.images, called, class_level)
    _warn_of_empty_folders(found, placed, called)
    class_folders = {one.class_folder for one in placed}
    beside = [path for path in found.tables if class_folders.isdisjoint(path.parents)]
    moves = {root / one.image: raw / one.destination for one in placed}
    moves |= {root / path: tables / name for path, name in _names_of_tables(beside, called).items()}
    _transfer(moves, root, raw.parent, called, may_move)
    ignored = sorted([*found.others, *set(found.tables).difference(beside)])
    if ignored:
        files = "file that is no image" if len(ignored) == 1 else "files that are no images"
        log.info(f"ignored: {len(ignored)} {files}: {_by_ending(ignored)}")
    counts = Counter(path.suffix.lower() or "no ending" for path in ignored)
    return {"ignored": dict(counts.most_common()), "skipped_links": len(found.links)}


def _transfer(moves: dict[Path, Path], root: Path, target: Path, called: Path, may_move: bool) -> None:
    if not may_move:
        require_space(called, sum(source.stat().st_size for source in moves), target)
    for source, destination in moves.items():
        try:
            destination.parent.mkdir(parents=True, exist_ok=True)
            if may_move:
                source.replace(destination)
            else:
                shutil.copyfile(source, destination)
        except OSError as error:
            name = source.relative_to(root)
            raise UserError(f"{called}: '{name}' cannot be copied ({error.strerror}); look at it") from error


def _refuse_without_images(found: Found, called: Path) -> None:
    if not found.images:
        raise UserError(
            f"{called}: no images found ({', '.join(sorted(SUFFIXES))}), one directory per class is expected"
            + (f"; it holds {_by_ending(found.others)}" if found.others else "")
            + (f"; {len(found.links)} links out of it are not followed" if found.links else "")
        )


def list_files(root: Path, called: Path) -> Found:
    """Everything below `root` but what is hidden; links are followed inside of `root` only, and never in a circle."""
    found = Found([], [], [], [], [])
    _list(root, root, [root], found, called)
    for paths in found:
        paths.sort()
    return found


def _list(folder: Path, root: Path, real_parents: list[Path], found: Found, called: Path) -> None:
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        raise UserError(f"{called}: '{folder}' cannot be read ({error.strerror}); change its rights") from error
    for entry in entries:
        path = folder / entry.name
        name = path.relative_to(root)
        if entry.name.startswith(".") or entry.name.lower() in IGNORED_NAMES:
            continue
        try:
            entry.name.encode()
        except UnicodeEncodeError:
            raise UserError(f"{called}: the name {os.fsencode(name)!r} is no UTF-8; rename it") from None
        real = Path(os.path.realpath(path)) if entry.is_symlink() else real_parents[-1] / entry.name
        if entry.is_symlink() and (not real.exists() or not real.is_relative_to(root) or real in real_parents):
            found.links.append(name)
        elif entry.is_dir():
            found.folders.append(name)
            _list(path, root, [*real_parents, real], found, called)
        elif entry.is_file():
            _kind(path.suffix.lower(), found).append(name)


def _kind(suffix: str, found: Found) -> list[Path]:
    if suffix in SUFFIXES:
        return found.images
    return found.tables if suffix == ".csv" else found.others


def _names_of_tables(tables: list[Path], called: Path) -> dict[Path, str]:
    """`<name>.csv` for each; tables of one name in several folders get the folders into their names."""
    stems = Counter(path.stem.lower() for path in tables)
    names = {
        path: f"{path.stem if stems[path.stem.lower()] == 1 else '_'.join([*path.parent.parts, path.stem])}.csv"
        for path in tables
    }
    for name, count in Counter(names.values()).items():
        if count > 1:
            raise UserError(f"{called}: {count} tables would become '{name}'; rename all but one")
    return names


def _report_links(links: list[Path], called: Path) -> None:
    if links:
        log.warning(
            f"{called}: {len(links)} links that lead out of it, to nothing or in a circle are not followed, "
            f"the first is '{links[0]}'; put the files themselves there"
        )


def _warn_of_empty_folders(found: Found, placed: list[Placed], called: Path) -> None:
    """Folders on the level of the classes that hold no image."""
    holding = {parent for one in placed for parent in one.image.parents}
    levels = {one.class_folder.parent for one in placed}
    for folder in found.folders:
        if folder not in holding and folder.parent in levels:
            log.warning(f"{called}: directory '{folder}' holds no image and becomes no class")


def _by_ending(paths: list[Path]) -> str:
    endings = Counter(path.suffix.lower() or "no ending" for path in paths)
    return ", ".join(f"{ending} ({count})" for ending, count in endings.most_common())
