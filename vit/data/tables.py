"""What the CSVs beside the images say of an image: its value in a column, or that it is listed at all."""

import csv
from collections import Counter, defaultdict
from pathlib import Path

from vit.data.manifest import Row
from vit.errors import UserError
from vit.files import read_table


def column_values(rows: list[Row], tables: Path, column: str, parameter: str) -> list[set[str]]:
    """For each image what the one CSV of the folder `tables` with that column has for it; its first column names them.

    A name is a path from the class on or, where only one image has it, a path below the class or a file name. Raises
    UserError, naming `parameter`, if no table or more than one has the column.
    """
    table = _table_with(tables, column, parameter)
    key = next(iter(table[0]))
    if key == column:
        raise UserError(f"{parameter} '{column}' is the table's first column, which names the images; take another")
    known: dict[str, set[str]] = defaultdict(set)
    for line in table:
        known[line[key]] |= {line[column]} if line[column] else set()
    return [{value for name in names for value in known.get(name, ())} for names in _names(rows)]


def listed(rows: list[Row], tables: Path, file: str, parameter: str) -> list[bool]:
    """Whether a line of the CSV `file` in the folder `tables` names each image, in one cell or in all, joined by "/".

    Names are those of `column_values`. Raises UserError if there is no such file, or if it names none of the images.
    """
    path = tables / file
    if not path.is_file():
        there = sorted(path.name for path in tables.glob("*.csv"))
        raise UserError(f"{parameter} '{file}': there is no such CSV beside the images; there are {there}")
    lines = [[cell for cell in line.values() if isinstance(cell, str)] for line in _read(path)]
    names = {name for cells in lines for name in (*cells, "/".join(cells))}
    found = [bool(ours & names) for ours in _names(rows)]
    if not any(found):
        raise UserError(f"{parameter} '{file}': none of its lines names one of the {len(rows)} images")
    return found


def _names(rows: list[Row]) -> list[set[str]]:
    """The names by which each image is known: its path, and what below its class is that of no other image."""
    names = [(row.path, *{row.path.partition("/")[2], row.path.rpartition("/")[2]}) for row in rows]
    times = Counter(name for ours in names for name in ours)
    return [{name for name in ours if times[name] == 1} for ours in names]


def _table_with(folder: Path, column: str, parameter: str) -> list[dict[str, str]]:
    found, columns = [], set()
    for path in sorted(folder.glob("*.csv")):
        table = _read(path)
        if table:
            columns |= {name for name in table[0] if name}
            found += [table] if column in table[0] else []
    if len(found) != 1:
        there = f"there are {sorted(columns)}" if columns else "there are no CSVs with lines"
        has = f"{len(found)} CSVs beside the images have it" if found else there
        raise UserError(f"{parameter} '{column}': one CSV beside the images must have this column; {has}")
    return found[0]


def _read(path: Path) -> list[dict[str, str]]:
    try:
        return read_table(path)
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path.name}: not a CSV in UTF-8 ({error})") from error
