"""What must not be torn apart by a split: near duplicates, blocks of frames, or what a table or the names say."""

import csv
import re
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

from vit.data.audit.duplicates import Frames
from vit.data.manifest import Row
from vit.errors import UserError
from vit.files import read_table


def by_near_duplicates(rows: list[Row], numbers: np.ndarray) -> list[Row]:
    """Images with the same number share a group, named by its first image; one that is alone is its own."""
    numbered = list(zip(rows, numbers.tolist(), strict=True))
    first: dict[int, str] = {}
    for row, number in sorted(numbered):
        first.setdefault(number, row.path)
    return [row._replace(group=first[number]) for row, number in numbered]


def by_blocks(rows: list[Row], frames: Frames, block_size: int) -> list[Row]:
    """`block_size` consecutive frame numbers of a series share a group; an image without a number is its own.

    Raises UserError if no name carries a number.
    """
    if not any(frames.series):
        raise UserError("split.strategy is blocks, but no file name carries a frame number; choose groups or random")
    return [
        row._replace(group=f"{name} {number // block_size:05d}") if name else row
        for row, name, number in zip(rows, frames.series, frames.numbers.tolist(), strict=True)
    ]


def by_regex(rows: list[Row], pattern: str) -> list[Row]:
    """What the brackets of `pattern` match in the path is the group. Raises UserError naming a path without a match."""
    matches = [re.search(pattern, row.path) for row in rows]
    strangers = [row.path for row, match in zip(rows, matches, strict=True) if match is None or not match.group(1)]
    if strangers:
        raise UserError(
            f"split.group_regex '{pattern}' finds no group in {len(strangers)} of {len(rows)} paths, "
            f"e.g. '{strangers[0]}'; make it match every path"
        )
    return [row._replace(group=match.group(1)) for row, match in zip(rows, matches, strict=True)]


def by_column(rows: list[Row], tables: Path, column: str) -> list[Row]:
    """The groups that a CSV in the folder `tables` has in `column`; its first column names the images.

    A name is a path from the class on or, where only one image has it, a path below the class or a file name. Raises
    UserError if no table or more than one has the column, or if an image has no group in it, or two.
    """
    table = _table_with(tables, column)
    key = next(iter(table[0]))
    if key == column:
        raise UserError(
            f"split.group_column '{column}' is the table's first column, which names the images; take another"
        )
    known: dict[str, set[str]] = defaultdict(set)
    for line in table:
        known[line[key]] |= {line[column]} if line[column] else set()
    names = [(row.path, *{row.path.partition("/")[2], row.path.rpartition("/")[2]}) for row in rows]
    times = Counter(name for ours in names for name in ours)
    grouped = []
    for row, ours in zip(rows, names, strict=True):
        groups = {group for name in ours if times[name] == 1 for group in known.get(name, ())}
        if len(groups) != 1:
            has = f"{len(groups)} groups ({', '.join(sorted(groups))})" if groups else "no group"
            raise UserError(f"split.group_column '{column}': the table has {has} for '{row.path}'; name it in one line")
        grouped.append(row._replace(group=next(iter(groups))))
    return grouped


def _table_with(folder: Path, column: str) -> list[dict[str, str]]:
    found, columns = [], set()
    for path in sorted(folder.glob("*.csv")):
        try:
            table = read_table(path)
        except (UnicodeDecodeError, csv.Error) as error:
            raise UserError(f"{path.name}: not a CSV in UTF-8 ({error})") from error
        if table:
            columns |= {name for name in table[0] if name}
            found += [table] if column in table[0] else []
    if len(found) != 1:
        there = f"there are {sorted(columns)}" if columns else "there are no CSVs with lines"
        has = f"{len(found)} CSVs beside the images have it" if found else there
        raise UserError(f"split.group_column '{column}': one CSV beside the images must have this column; {has}")
    return found[0]
