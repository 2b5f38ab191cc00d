"""The table of corrections by people, feedback/labels.csv: its columns, its rules, reading and changing it."""

import csv
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from vit.errors import UserError
from vit.files import write_table

ACTIONS = ("keep", "relabel", "remove")
DIGEST = re.compile(r"[0-9a-f]{64}")
IMAGES = "images"  # the folder beside the table with images to add, named by their SHA-256


class Correction(NamedTuple):
    """A person's decision about the image files with this SHA-256.

    `keep`: the label is right; `relabel`: it should be `label`; `remove`: do not use the image. `path` says where the
    image was, `by` and `at` who decided when (ISO 8601); they are for people and change nothing.
    """

    sha256: str
    path: str
    label: str
    action: str
    by: str
    at: str


def read_corrections(table: Path) -> list[Correction]:
    """The rows of a table, one per digest. Raises UserError naming the line of a missing or invalid value.

    Two rows about one digest are an error unless they say the same.
    """
    found: dict[str, tuple[int, Correction]] = {}
    for line, row in _rows(table):
        correction = _checked(row, f"{table} line {line}")
        before, same = found.setdefault(correction.sha256, (line, correction))
        if (same.action, same.label) != (correction.action, correction.label):
            raise UserError(
                f"{table}: lines {before} and {line} contradict each other about {correction.sha256[:12]}: "
                f"{_said(same)} and {_said(correction)}; delete one"
            )
    return [correction for _, correction in found.values()]


def _rows(table: Path) -> list[tuple[int, dict[str, str | None]]]:
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            missing = [name for name in Correction._fields if name not in (reader.fieldnames or ())]
            if missing:
                raise UserError(
                    f"{table}: column '{missing[0]}' is missing; the first line must be {','.join(Correction._fields)}"
                )
            return [(reader.line_num, row) for row in reader]
    except FileNotFoundError:
        raise UserError(
            f"data.corrections '{table}': no such file; create it, or set data.corrections to null; queued and --temp "
            f"runs have only files that git tracks: run `git add {table}`"
        ) from None
    except (csv.Error, UnicodeDecodeError, OSError) as error:
        raise UserError(f"{table}: not a CSV file in UTF-8 ({error}); repair it") from error


def _checked(row: dict[str, str | None], where: str) -> Correction:
    values = {name: row[name] for name in Correction._fields}
    if None in row or None in values.values():
        raise UserError(f"{where}: it does not have {len(Correction._fields)} values; check commas and quotes")
    correction = Correction(**{name: (value or "").strip() for name, value in values.items()})
    if not DIGEST.fullmatch(correction.sha256):
        raise UserError(f"{where}: sha256 '{correction.sha256}' is not a SHA-256, which has 64 digits 0-9a-f")
    if correction.action not in ACTIONS:
        raise UserError(f"{where}: action '{correction.action}' must be {', '.join(ACTIONS[:-1])} or {ACTIONS[-1]}")
    if correction.action == "relabel" and not correction.label:
        raise UserError(f"{where}: action relabel needs a label")
    return correction


def _said(correction: Correction) -> str:
    return f"relabel '{correction.label}'" if correction.action == "relabel" else correction.action


def write_corrections(table: Path, corrections: Iterable[Correction]) -> None:
    write_table(table, [correction._asdict() for correction in corrections], list(Correction._fields))
