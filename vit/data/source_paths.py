"""Where each image lay at its source, for tables that name it so: written by download, read by every join.

It lies with the tables, which are what joins read. Paths are relative to the source: nothing of this machine.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from vit.data.join import Known
from vit.files import read_json, write_json

FILE = "source_paths.json"


def write_source_paths(tables: Path, root: str, sources: Mapping[str, str]) -> None:
    """Keep, in the folder `tables`, the path at the source of each image that download gave another path.

    `sources` are those paths by path in data/raw; `root` is the name of the source's folder or archive.
    """
    moved = {path: source for path, source in sorted(sources.items()) if path != source}
    write_json(tables / FILE, {"root": root, "paths": moved})


def known_images(paths: Iterable[str], tables: Path) -> list[Known]:
    """The images of data/raw by all their paths; without a record, as of a drawn source, by their own alone."""
    record = read_json(tables / FILE) if (tables / FILE).is_file() else {"root": "", "paths": {}}
    return [Known(path, record["paths"].get(path, ""), record["root"]) for path in paths]
