"""Text as people read it, so that what looks equal is equal: names of files and classes, headers, cells of tables."""

import re
import unicodedata
from collections.abc import Iterable

# Invisible wherever they stand: soft hyphen, zero-width space, marks of direction, word joiner, byte order mark.
_INVISIBLE = dict.fromkeys([0xAD, 0x200B, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2060, 0x206A), 0xFEFF])
# Invisible, yet they make other letters or another emoji of their neighbours: dropped only where they join nothing.
_JOINERS = "\u200c\u200d"
_NUMBER = re.compile(r"-?\d+(\.0+)?")
_NO_GROUP = {"na", "n/a", "#n/a", "nan", "<na>", "null", "none", "nil"}


def as_read(text: str) -> str:
    """`text` in Unicode's form NFC, without what cannot be seen, every blank a space, and none at either end."""
    # A blank may hide behind something invisible, and two halves of a letter may lie on both sides of it.
    seen = "".join(" " if char.isspace() else char for char in text.translate(_INVISIBLE))
    return unicodedata.normalize("NFC", seen.strip(f" \0{_JOINERS}"))


def name_as_read(name: str) -> str:
    """The path of a file as a table may spell it: `/` between folders, each name as read, no `./` and no empty name."""
    parts = (as_read(part) for part in name.replace("\\", "/").split("/"))
    return "/".join(part for part in parts if part not in ("", "."))


def values_as_read(cells: Iterable[str]) -> list[str]:
    """The cells of a column as read; where all are whole numbers, `3.0` is `3`, which pandas writes beside a gap."""
    values = [as_read(cell) for cell in cells]
    if any(value.endswith("0") and "." in value for value in values) and all(
        _NUMBER.fullmatch(value) for value in values if value
    ):
        return [value.partition(".")[0] for value in values]
    return values


def names_no_group(value: str) -> bool:
    """Whether a cell, as read, is empty or says that its value is not known (NaN, N/A, null)."""
    return not value or value.casefold() in _NO_GROUP
