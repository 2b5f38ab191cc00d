"""Groups that must stay in one split: near duplicates, blocks of frames, or groups from a table or from file names."""

import re
from pathlib import Path

import numpy as np

from vit.data.audit.frames import Frames
from vit.data.manifest import Row
from vit.data.tables import column_values
from vit.data.text import names_no_group
from vit.errors import UserError


def by_near_duplicates(rows: list[Row], numbers: np.ndarray) -> list[Row]:
    """Images with the same number share a group, named after its first image; a lone image is a group of its own."""
    numbered = list(zip(rows, numbers.tolist(), strict=True))
    first: dict[int, str] = {}
    for row, number in sorted(numbered):
        first.setdefault(number, row.path)
    return [row._replace(group=first[number]) for row, number in numbered]


def by_blocks(rows: list[Row], frames: Frames, block_size: int) -> list[Row]:
    """`block_size` consecutive frame numbers of a series share a group; an unnumbered image is a group of its own.

    Raises UserError if no name carries a number.
    """
    if not any(frames.series):
        raise UserError("split.strategy is blocks, but no file name carries a frame number; choose groups or random")
    return [
        row._replace(group=f"{name} {number // block_size:05d}") if name else row
        for row, name, number in zip(rows, frames.series, frames.numbers.tolist(), strict=True)
    ]


def by_regex(rows: list[Row], pattern: str) -> list[Row]:
    """The first bracket of `pattern`, matched in the path, is the group. Raises UserError if a path does not match."""
    matches = [re.search(pattern, row.path) for row in rows]
    groups = [(match.group(1) if match else None) or "" for match in matches]
    strangers = [row.path for row, group in zip(rows, groups, strict=True) if not group]
    if strangers:
        raise UserError(
            f"split.group_regex '{pattern}' finds no group in {len(strangers)} of {len(rows)} paths, "
            f"e.g. '{strangers[0]}'; make it match every path"
        )
    return [row._replace(group=group) for row, group in zip(rows, groups, strict=True)]


def by_column(rows: list[Row], tables: Path, column: str) -> list[Row]:
    """The groups in `column` of a CSV in the folder `tables`, found as `column_values` does.

    Also raises UserError if an image has two groups or none: no line, an empty cell, or NaN, N/A or null.
    """
    parameter = f"split.group_column '{column}'"
    found = column_values(rows, tables, column, "split.group_column")
    groups = [{group for group in of_image if not names_no_group(group)} for of_image in found]
    if missing := [row.path for row, of_image in zip(rows, groups, strict=True) if not of_image]:
        unknown = sorted({group for of_image in found for group in of_image if names_no_group(group)})
        said = f" ({', '.join(unknown)} is not a group)" if unknown else ""
        raise UserError(
            f"{parameter}: the table has no group for '{missing[0]}', {len(missing)} of {len(rows)} images{said}; "
            "fill in their cells; give each image that belongs to no group a name of its own"
        )
    for row, of_image in zip(rows, groups, strict=True):
        if len(of_image) > 1:
            has = f"{len(of_image)} groups ({', '.join(sorted(of_image))})"
            raise UserError(f"{parameter}: the table has {has} for '{row.path}'; name it in one line")
    return [row._replace(group=next(iter(of_image))) for row, of_image in zip(rows, groups, strict=True)]
