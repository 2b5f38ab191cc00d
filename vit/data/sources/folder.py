"""Images and tables of a folder or archive, copied: the source is only read, and nothing is linked to it."""

import logging
from collections import Counter, defaultdict
from pathlib import Path

from tqdm import tqdm

from vit.config.schema import DataParams
from vit.data.formats import NAMES
from vit.data.source_paths import write_source_paths
from vit.data.sources.archives import ENDINGS, name_without_ending, require_space, unpack
from vit.data.sources.class_names import with_class_names_as_read
from vit.data.sources.copying import Copier
from vit.data.sources.labels import LabelTable, arrange_by_table, label_table
from vit.data.sources.layout import Placed, arrange
from vit.data.sources.listing import Found, list_files
from vit.errors import UserError
from vit.files import project_root, temporary_folder

log = logging.getLogger("vit")

TOLD = 0.1  # share of a class's files: if more are not images, a warning says so


def fetch_folder(data: DataParams, raw: Path, tables: Path) -> dict:
    """Copy the folder or archive `data.path`, as `copy_source` does."""
    return copy_source(_absolute(data.path), raw, tables, data.class_level, label_table(data))


def _absolute(path: str) -> Path:
    if path.split("/")[0] == "~":
        raise UserError(f"data.path '{path}': DVC does not expand '~'; set data.path={Path(path).expanduser()}")
    absolute = project_root() / path
    if Path(path).is_absolute() or Path.cwd() == project_root():
        return absolute
    # Such a run works in a copy of what git and DVC track, where another folder of images is missing or incomplete.
    if not Path(f"{path}.dvc").is_file():
        raise UserError(
            f"data.path '{path}' is relative, which queued and --temp runs cannot use; set data.path={absolute}, or "
            f"track it with `dvc add {path}`"
        )
    return Path.cwd() / path


def copy_source(
    source: Path, raw: Path, tables: Path, class_level: int | str = "auto", labels: LabelTable | None = None
) -> dict:
    """Copy the images of a folder or archive to `raw` and its CSV files outside of the classes to `tables`.

    Returns version, ignored and skipped_links as `fetch` does. Raises UserError if the source is missing, broken,
    hostile, too large for the disk or holds no classes.
    """
    if not source.exists():
        raise UserError(f"data.path {source}: no such folder or archive")
    if source.is_dir():
        return {"version": f"folder {source.name}", **copy_folder(source, raw, tables, source, class_level, labels)}
    if not source.name.lower().endswith(ENDINGS):
        raise UserError(f"data.path {source}: neither a folder nor an archive ({', '.join(ENDINGS)})")
    with temporary_folder(raw.parent / "unpacked") as unpacked:
        unpack(source, unpacked)
        return {
            "version": f"archive {source.name}",
            **copy_folder(unpacked, raw, tables, source, class_level, labels, may_move=True),
        }


def copy_folder(
    root: Path,
    raw: Path,
    tables: Path,
    called: Path,
    class_level: int | str = "auto",
    labels: LabelTable | None = None,
    may_move: bool = False,
) -> dict:
    """Copy, or move, images and tables of a folder that errors call `called`; return ignored and skipped_links.

    `class_level` says which folders are the classes, as `arrange` reads it; with `labels` that table says the class of
    each image instead, and its counts are returned, too. The paths at the source are kept with the tables.
    Raises UserError as `copy_source` does.
    """
    root = root.resolve()
    if raw.resolve().is_relative_to(root):
        raise UserError(f"{called}: holds {raw.parent}, where the images are copied to; name another folder")
    found = list_files(root, called)
    _report_links(found.links, called)
    _refuse_without_images(found, called)
    known: dict[str, object] = {}
    root_name = name_without_ending(called)
    if labels is None:
        placed = with_class_names_as_read(arrange(found.images, called, class_level), called)
        _warn_of_empty_folders(found, placed, called)
    else:
        placed, known["labels"] = arrange_by_table(root, found.images, labels, called, root_name)
    class_folders = {one.class_folder for one in placed}
    beside = [path for path in found.tables if class_folders.isdisjoint(path.parents)]
    moves = {root / one.image: raw / one.destination for one in placed}
    moves |= {root / path: tables / name for path, name in _names_of_tables(beside, called).items()}
    _transfer(moves, root, raw.parent, called, may_move)
    write_source_paths(tables, root_name, {one.destination.as_posix(): one.image.as_posix() for one in placed})
    ignored = sorted([*found.others, *set(found.tables).difference(beside)])
    if ignored:
        files = "file that is not an image" if len(ignored) == 1 else "files that are not images"
        log.info(f"ignored: {len(ignored)} {files}: {_by_ending(ignored)}")
        _warn_of_ignored(ignored, placed, called)
    counts = Counter(path.suffix.lower() or "no ending" for path in ignored)
    return {"ignored": dict(counts.most_common()), "skipped_links": len(found.links), **known}


def _transfer(moves: dict[Path, Path], root: Path, target: Path, called: Path, may_move: bool) -> None:
    if not may_move:
        require_space(called, sum(source.stat().st_size for source in moves), target)
    copier, made = Copier(), set()
    for source, destination in tqdm(moves.items(), desc="copy", unit="file", disable=None):
        try:
            if destination.parent not in made:
                destination.parent.mkdir(parents=True, exist_ok=True)
                made.add(destination.parent)
            if may_move:
                source.replace(destination)
            else:
                copier.copy(source, destination)
        except OSError as error:
            name = source.relative_to(root)
            raise UserError(f"{called}: '{name}' cannot be copied ({error.strerror}); check its permissions") from error


def _refuse_without_images(found: Found, called: Path) -> None:
    if not found.images:
        raise UserError(
            f"{called}: no images found ({NAMES}), one directory per class is expected"
            + (f"; it holds {_by_ending(found.others)}" if found.others else "")
            + (f"; {len(found.links)} links out of it are not followed" if found.links else "")
        )


def _names_of_tables(tables: list[Path], called: Path) -> dict[Path, str]:
    """`<name>.csv` for each; if several folders hold a table of one name, the folders become part of the name."""
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
            f"{called}: {len(links)} links that lead outside, to nothing or in a circle are not followed, "
            f"the first is '{links[0]}'; put the files themselves there"
        )


def _warn_of_empty_folders(found: Found, placed: list[Placed], called: Path) -> None:
    """Folders on the level of the classes that hold no image."""
    holding = {parent for one in placed for parent in one.image.parents}
    levels = {one.class_folder.parent for one in placed}
    for folder in found.folders:
        if folder not in holding and folder.parent in levels:
            log.warning(f"{called}: directory '{folder}' holds no image and becomes no class")


def _warn_of_ignored(ignored: list[Path], placed: list[Placed], called: Path) -> None:
    """Classes in whose folders more than a tenth of the files are not images."""
    images = Counter(one.class_folder for one in placed)
    inside: dict[Path, list[Path]] = defaultdict(list)
    for path in ignored:
        for folder in images.keys() & set(path.parents):
            inside[folder].append(path)
    told = [
        f"'{folder}' {len(files)} of {len(files) + images[folder]} ({_by_ending(files)})"
        for folder, files in sorted(inside.items())
        if len(files) > TOLD * (len(files) + images[folder])
    ]
    if told:
        more = f" and {len(told) - 5} more classes" if len(told) > 5 else ""
        log.warning(f"{called}: ignored files that are not images, in class {', '.join(told[:5])}{more}")


def _by_ending(paths: list[Path]) -> str:
    endings = Counter(path.suffix.lower() or "no ending" for path in paths)
    return ", ".join(f"{ending} ({count})" for ending, count in endings.most_common())
