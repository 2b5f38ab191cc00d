"""Each image's path at its source, for tables that use it: written by download, read by every join.

The record is stored with the tables. Paths are relative to the source and reveal nothing about this machine.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from vit.data.join import Known
from vit.files import read_json, write_json

FILE = "source_paths.json"


def write_source_paths(tables: Path, root: str, sources: Mapping[str, str]) -> None:
    """Write, to the folder `tables`, the path at the source of each image to which download gave another path.

    `sources` are those paths by path in data/raw; `root` is the name of the source's folder or archive.
    """
    moved = {path: source for path, source in sorted(sources.items()) if path != source}
    write_json(tables / FILE, {"root": root, "paths": moved})


def known_images(paths: Iterable[str], tables: Path) -> list[Known]:
    """The images of data/raw with all their paths; without a record, as for generated data, only those in data/raw."""
    root, sources = source_paths(tables)
    return [Known(path, sources.get(path, ""), root) for path in paths]


def source_paths(tables: Path) -> tuple[str, dict[str, str]]:
    """The name of the source's folder, and the path at the source of each image that has another one in data/raw."""
    record = read_json(tables / FILE) if (tables / FILE).is_file() else {"root": "", "paths": {}}
    return record["root"], record["paths"]
