"""The audit of a folder of images: what cannot be read, what is there twice, what is nearly the same."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vit.data.audit.duplicates import Frames, exact_duplicates, frame_numbers, near_duplicate_groups
from vit.data.audit.scan import Scan, scan
from vit.data.manifest import Row
from vit.errors import UserError

log = logging.getLogger("vit")

SHOWN = 5  # of many, in an error of one line


@dataclass(frozen=True)
class Findings:
    """The images that can be used, and what was left out.

    `scan`, `frames` and `groups` (a number per image, equal for near duplicates) stand side by side. `copies` pairs an
    image that was left out with the equal one that was kept; `contradictory` images have equal pixels under two labels.
    """

    scan: Scan
    frames: Frames
    groups: np.ndarray
    broken: list[tuple[Row, str]]
    copies: list[tuple[Row, Row]]
    contradictory: list[Row]

    @property
    def rows(self) -> list[Row]:
        return self.scan.rows

    def only(self, keep: list[int]) -> "Findings":
        """What was found of the usable images at these positions."""
        frames = replace(
            self.frames, series=[self.frames.series[index] for index in keep], numbers=self.frames.numbers[keep]
        )
        return replace(self, scan=self.scan.only(keep), frames=frames, groups=self.groups[keep])


def audit(raw: Path, rows: list[Row], max_broken_fraction: float) -> Findings:
    """Look at every image below `raw`. Raises UserError listing what is unreadable, if that is too much of it."""
    seen = scan(raw, rows)
    _refuse_broken(seen, max_broken_fraction)
    duplicates = exact_duplicates(seen)
    kept = seen.only(duplicates.keep)
    frames = frame_numbers(kept.rows)
    return Findings(
        scan=kept,
        frames=frames,
        groups=near_duplicate_groups(kept, frames),
        broken=seen.broken,
        copies=[(seen.rows[copy], seen.rows[first]) for copy, first in duplicates.copies],
        contradictory=[seen.rows[index] for index in duplicates.contradictory],
    )


def _refuse_broken(seen: Scan, most: float) -> None:
    images = len(seen.rows) + len(seen.broken)
    if len(seen.broken) > most * images:
        for row, reason in seen.broken:
            log.debug(f"unreadable: {row.path}: {reason}")
        listed = "; ".join(f"{row.path}: {reason}" for row, reason in seen.broken[:SHOWN])
        more = f"; and {len(seen.broken) - SHOWN} more" if len(seen.broken) > SHOWN else ""
        raise UserError(
            f"{len(seen.broken)} of {images} images cannot be read, more than split.max_broken_fraction {most}: "
            f"{listed}{more} (all in logs/vit.log). Repair or remove them at their source, or allow for them"
        )
    if not seen.rows:
        raise UserError(f"none of {images} images in data/raw can be read; get them again")
