"""What the copying of a folder or archive gives."""

import json
from pathlib import Path

from vit.data.sources.folder import copy_source


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


class Copied(dict):
    """The images by name; beside them the tables by name, the paths at the source, and what else is known."""

    tables: dict[str, bytes]
    sources: dict
    known: dict


def copied(source: Path, tmp_path: Path, class_level: int | str = "auto") -> Copied:
    """Copy to `work` in `tmp_path`."""
    raw, tables = tmp_path / "work" / "raw", tmp_path / "work" / "tables"
    raw.mkdir(parents=True)
    tables.mkdir()
    known = copy_source(source, raw, tables, class_level)
    result = Copied(contents(raw))
    result.tables, result.known = contents(tables), known
    result.sources = json.loads(result.tables.pop("source_paths.json"))
    return result
