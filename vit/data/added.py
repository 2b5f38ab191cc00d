"""Images that people corrected, in the split: they join train, unless val or test would leak through them."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vit.config.files import CORRECTED
from vit.data.audit.duplicates import first_near_duplicates
from vit.data.audit.findings import Findings
from vit.data.audit.leakage import HELD_OUT
from vit.data.audit.scan import Scan, scan
from vit.data.manifest import Row
from vit.errors import UserError
from vit.files import read_json

TOLD = 5


@dataclass(frozen=True)
class Added:
    """Corrected images that join train, with what they show, and those left out with the reason."""

    scan: Scan
    left_out: list[tuple[Row, str]]

    def warnings(self) -> list[str]:
        """A sentence about the images left out, if any."""
        if not self.left_out:
            return []
        listed = "; ".join(f"{row.path} {reason}" for row, reason in self.left_out[:TOLD])
        more = f"; and {len(self.left_out) - TOLD} more" if len(self.left_out) > TOLD else ""
        return [f"{len(self.left_out)} corrected images are not added to train: {listed}{more}"]


def added_paths(tables: Path) -> set[str]:
    """The paths of the images that download added because a person corrected them."""
    return set(read_json(tables / CORRECTED)["paths"]) if (tables / CORRECTED).is_file() else set()


def look_at_added(raw: Path, rows: list[Row], findings: Findings, parts: dict[str, list[Row]]) -> Added:
    """Which of `rows` may join train: no copy of an image used already, no near duplicate of a val or test image.

    Raises UserError if a corrected image is unreadable, or two of them have equal pixels and different labels.
    """
    seen = scan(raw, rows, drawn=findings.scan.drawn)
    if seen.broken:
        row, reason = seen.broken[0]
        raise UserError(f"corrected image {row.path}: {reason}; delete its row in the table of data.corrections")
    pixels = findings.scan.looks.column("pixels")
    known = {digest.tobytes().hex(): row for row, digest in zip(findings.rows, pixels, strict=True)}
    held_out = {row.path: part for part in HELD_OUT for row in parts[part]}
    at = [index for index, row in enumerate(findings.rows) if row.path in held_out]
    twins = first_near_duplicates(seen, findings.scan.only(at))
    keep, left_out, mine = [], [], {}
    for index, (row, look) in enumerate(zip(seen.rows, seen.looks, strict=True)):
        if (other := mine.setdefault(look.pixels, row)).label != row.label:
            raise UserError(
                f"corrected images {other.path} and {row.path} have equal pixels and two labels; delete the row of one "
                "in the table of data.corrections"
            )
        if look.pixels in known or other is not row:
            left_out.append((row, f"has the pixels of {(known.get(look.pixels) or other).path}"))
        elif twins[index] >= 0:
            twin = findings.rows[at[twins[index]]].path
            left_out.append((row, f"is a near duplicate of {twin} in {held_out[twin]}"))
        else:
            keep.append(index)
    return Added(seen.only(keep), left_out)


def with_added(findings: Findings, added: Added) -> Findings:
    """The findings with the images that join train after the others, each a group of its own and in no series."""
    count, first = len(added.scan.rows), int(findings.groups.max()) + 1
    frames = replace(
        findings.frames,
        series=[*findings.frames.series, *[""] * count],
        numbers=np.concatenate([findings.frames.numbers, np.full(count, -1)]),
    )
    whole = replace(
        findings.scan, rows=[*findings.rows, *added.scan.rows], looks=findings.scan.looks.joined(added.scan.looks)
    )
    groups = np.concatenate([findings.groups, np.arange(first, first + count)])
    return replace(findings, scan=whole, frames=frames, groups=groups)
