"""The CSVs beside the images: an image's value in a column, or whether it is listed at all."""

import csv
import logging
from collections import Counter, defaultdict
from pathlib import Path

from vit.data.join import Index, refuse_no_match, tell_unmatched
from vit.data.manifest import Row
from vit.data.source_paths import known_images
from vit.data.text import as_read, values_as_read
from vit.errors import UserError

log = logging.getLogger("vit")

Line = dict[str, str]


def column_values(rows: list[Row], tables: Path, column: str, parameter: str) -> list[set[str]]:
    """Each image's values in `column` of the only CSV in `tables` that has it; its first column names the images.

    If the first column names none, such as a line count, the column that names most does. A name is a path in data/raw
    or at the source, or the end of one down to the file name, or either without its ending. Empty cells are not values.
    Raises UserError, naming `parameter`, unless exactly one table has the column, or if names match no image, or two.
    """
    column = as_read(column)
    called, table = _table_with(tables, column, parameter)
    index = Index(known_images([row.path for row in rows], tables))
    names, matched = _named_images(index, table, column, parameter, called)
    tell_unmatched(index, names, matched, called, every_image=True)
    values = values_as_read(line[column] for line in table)
    known: dict[int, set[str]] = defaultdict(set)
    for image, value in zip(matched, values, strict=True):
        if image is not None and value:
            known[image].add(value)
    if empty := [name for name, value in zip(names, values, strict=True) if not value]:
        log.warning(f"{called}: the cells of {len(empty)} lines are empty, such as that of '{empty[0]}'")
    return [known.get(number, set()) for number in range(len(rows))]


def listed(rows: list[Row], tables: Path, file: str, parameter: str) -> list[bool]:
    """Whether a line of the CSV `file` in the folder `tables` names each image, in one cell or in all, joined by "/".

    Names are those of `column_values`. Raises UserError if the file is missing, names none of the images, or
    has a line that may mean two.
    """
    path = tables / file
    if not path.is_file():
        there = sorted(path.name for path in tables.glob("*.csv"))
        raise UserError(f"{parameter} '{file}': there is no such CSV beside the images; there are {there}")
    called = f"{parameter} '{file}'"
    index = Index(known_images([row.path for row in rows], tables))
    table = [list(line.values()) for line in read_csv(path)]
    names = ["/".join(filter(None, cells)) for cells in table]
    found = [_listed_images(index, cells) for cells in table]
    if not any(found):
        # Ids without endings count only in the first column: any number could be one.
        found = [index.find_bare(cells[0]) for cells in table]
    matched = index.one_of(found, names, called)
    if not any(found):
        refuse_no_match(index, names, called)
    tell_unmatched(index, names, matched, called, every_image=False)
    there = set(matched)
    return [number in there for number in range(len(rows))]


def read_csv(path: Path) -> list[Line]:
    """The lines of a CSV by its header, both as read; a cell that a line lacks is empty, empty lines are skipped.

    Raises UserError if the file is not a CSV in UTF-8, if two columns have one name, and if a line has more cells than
    the header.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = list(csv.DictReader(file, skipinitialspace=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path.name}: not a CSV in UTF-8 ({error})") from error
    header = Counter(as_read(name) for name in (lines[0] if lines else {}) if name is not None)
    if twice := [name for name, count in header.items() if count > 1 and name]:
        raise UserError(f"{path.name}: {header[twice[0]]} columns are called '{twice[0]}'; rename all but one")
    read = []
    for number, line in enumerate(lines, 1):
        # pyrefly: ignore[no-matching-overload]  # csv puts surplus cells under None
        if any(map(as_read, line.pop(None, []))):
            raise UserError(
                f"{path.name}: line {number} has more cells than the header; put cells with commas in quotes"
            )
        read.append({as_read(name): as_read(cell or "") for name, cell in line.items()})
    return [line for line in read if any(line.values())]


def _named_images(
    index: Index, table: list[Line], column: str, parameter: str, called: str
) -> tuple[list[str], list[int | None]]:
    """The name in each line, and the image that it means."""
    first = next(iter(table[0]))
    if first == column:
        raise UserError(f"{called} is the table's first column, which names the images; name another")
    naming = naming_column(index, table, [name for name in table[0] if name != column])
    names = [line[naming or first] for line in table]
    if naming is None:
        refuse_no_match(index, names, called)
    return names, index.one_of([index.find(name) or index.find_bare(name) for name in names], names, called)


def naming_column(index: Index, table: list[Line], columns: list[str]) -> str | None:
    """The first of `columns` if it names any image, else the one that names most; full names go before bare ids."""
    for find in (index.find, index.find_bare):
        counts = {name: sum(bool(find(line[name])) for line in table) for name in columns}
        if counts and counts[columns[0]]:
            return columns[0]
        if counts and max(counts.values()):
            return max(counts, key=lambda name: counts[name])
    return None


def _listed_images(index: Index, cells: list[str]) -> list[int]:
    """The images that a line means, by its joined cells or by one cell; ambiguous ones only if it has no others."""
    found = [index.find("/".join(filter(None, cells))), *map(index.find, cells)]
    return next((images for images in found if len(images) == 1), []) or next(filter(None, found), [])


def _table_with(folder: Path, column: str, parameter: str) -> tuple[str, list[Line]]:
    found, columns = [], set()
    for path in sorted(folder.glob("*.csv")):
        table = read_csv(path)
        if table:
            columns |= {name for name in table[0] if name}
            found += [table] if column in table[0] else []
    if len(found) != 1:
        there = f"there are {sorted(columns)}" if columns else "there are no CSVs with lines"
        has = f"{len(found)} CSVs beside the images have it" if found else there
        raise UserError(f"{parameter} '{column}': one CSV beside the images must have this column; {has}")
    return f"{parameter} '{column}'", found[0]
