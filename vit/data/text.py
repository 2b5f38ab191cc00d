"""Text as people read it, so that equal looks mean equal text: names of files and classes, headers, cells of tables."""

import re
import unicodedata
from collections.abc import Iterable

# Invisible wherever they stand: soft hyphen, zero-width space, marks of direction, word joiner, byte order mark.
_INVISIBLE = dict.fromkeys([0xAD, 0x200B, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2060, 0x206A), 0xFEFF])
# Invisible, but they change neighbouring letters or emoji: dropped only where they join nothing.
_JOINERS = "\u200c\u200d"
_NUMBER = re.compile(r"-?\d+(\.0+)?")
_NO_GROUP = {"na", "n/a", "#n/a", "nan", "<na>", "null", "none", "nil"}


def as_read(text: str) -> str:
    """`text` in Unicode's form NFC, without invisible characters, every blank a space, none at either end."""
    # A blank may hide behind an invisible character, which may also separate the two halves of a letter.
    seen = "".join(" " if char.isspace() else char for char in text.translate(_INVISIBLE))
    return unicodedata.normalize("NFC", seen.strip(f" \0{_JOINERS}"))


def name_as_read(name: str) -> str:
    """The path of a file as a table may spell it: `/` between folders, each name as read, no `./` and no empty name."""
    parts = (as_read(part) for part in name.replace("\\", "/").split("/"))
    return "/".join(part for part in parts if part not in ("", "."))


def values_as_read(cells: Iterable[str]) -> list[str]:
    """The cells of a column as read; if all are integers, `3.0` becomes `3`, as pandas writes floats beside a gap."""
    values = [as_read(cell) for cell in cells]
    if any(value.endswith("0") and "." in value for value in values) and all(
        _NUMBER.fullmatch(value) for value in values if value
    ):
        return [value.partition(".")[0] for value in values]
    return values


def names_no_group(value: str) -> bool:
    """Whether a cell, as read, is empty or marks an unknown value (NaN, N/A, null)."""
    return not value or value.casefold() in _NO_GROUP
