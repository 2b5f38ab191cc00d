"""The audit of a folder of images: unreadable files, copies and near duplicates."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from vit.data.audit.duplicates import Duplicates, exact_duplicates, near_duplicate_groups
from vit.data.audit.frames import Frames, frame_numbers
from vit.data.audit.scan import AS_THEY_ARE, Drawn, Scan, scan
from vit.data.audit.videos import without_lists
from vit.data.manifest import Row
from vit.errors import UserError

log = logging.getLogger("vit")

SHOWN = 5  # at most, in an error of one line


@dataclass(frozen=True)
class Findings:
    """The usable images, and what was left out.

    `scan`, `frames` and `groups` (a number per image, equal for near duplicates) stand side by side. `copies` pairs an
    image that was left out with the equal one that was kept; `contradictory` images have equal pixels under two labels.
    `vanished` counts the images, left out or not, that are one colour on the background they lie on, by the background
    on which they would show.
    """

    scan: Scan
    frames: Frames
    groups: np.ndarray
    broken: list[tuple[Row, str]]
    copies: list[tuple[Row, Row]]
    contradictory: list[Row]
    vanished: Counter[str] = field(default_factory=Counter)

    @property
    def rows(self) -> list[Row]:
        return self.scan.rows

    def positions(self, rows: list[Row]) -> np.ndarray:
        """Where these rows, perhaps with other groups, are in the findings; (N,)."""
        return np.fromiter((self._position[row.path] for row in rows), dtype=np.int64, count=len(rows))

    @cached_property
    def _position(self) -> dict[str, int]:
        return {row.path: index for index, row in enumerate(self.rows)}

    @cached_property
    def labels(self) -> np.ndarray:
        """The number of each image's class among the sorted classes; (N,)."""
        numbers = {label: number for number, label in enumerate(sorted({row.label for row in self.rows}))}
        return np.fromiter((numbers[row.label] for row in self.rows), dtype=np.int64, count=len(self.rows))

    def only(self, keep: Sequence[int]) -> "Findings":
        """The findings about the usable images at these positions."""
        frames = replace(
            self.frames, series=[self.frames.series[index] for index in keep], numbers=self.frames.numbers[keep]
        )
        return replace(self, scan=self.scan.only(keep), frames=frames, groups=self.groups[keep])


def audit(raw: Path, rows: list[Row], max_broken_fraction: float, drawn: Drawn = AS_THEY_ARE) -> Findings:
    """Look at every image below `raw`, `drawn` as they will be packed.

    Raises UserError listing unreadable images if they are too many, and if no image is left.
    """
    seen = scan(raw, rows, drawn=drawn)
    _refuse_broken(seen, max_broken_fraction)
    vanished = seen.looks.counted("shows_on")
    del vanished[""]
    duplicates = exact_duplicates(seen)
    _refuse_nothing(seen, duplicates, vanished)
    kept = seen.only(duplicates.keep)
    frames = frame_numbers(kept.rows)
    found = Findings(
        scan=kept,
        frames=frames,
        groups=near_duplicate_groups(kept, frames),
        broken=seen.broken,
        copies=[(seen.rows[copy], seen.rows[first]) for copy, first in duplicates.copies],
        contradictory=[seen.rows[index] for index in duplicates.contradictory],
        vanished=vanished,
    )
    return replace(found, frames=without_lists(frames, found.labels, kept.looks))


def _refuse_broken(seen: Scan, most: float) -> None:
    images = len(seen.rows) + len(seen.broken)
    if len(seen.broken) > most * images:
        for row, reason in seen.broken:
            log.debug(f"unreadable: {row.path}: {reason}")
        listed = "; ".join(f"{row.path}: {reason}" for row, reason in seen.broken[:SHOWN])
        more = f"; and {len(seen.broken) - SHOWN} more" if len(seen.broken) > SHOWN else ""
        raise UserError(
            f"{len(seen.broken)} of {images} images cannot be read, more than split.max_broken_fraction {most}: "
            f"{listed}{more} (all in logs/vit.log). By class: {_broken_by_class(seen)}. Repair or remove them at the "
            "source, or raise split.max_broken_fraction"
        )
    if not seen.rows:
        raise UserError(f"none of {images} images in data/raw can be read; download them again")


def _broken_by_class(seen: Scan) -> str:
    broken = Counter(row.label for row, _ in seen.broken)
    images = broken + Counter(row.label for row in seen.rows)
    listed = [f"{count} of {images[label]} in '{label}'" for label, count in broken.most_common(SHOWN)]
    return ", ".join(listed) + (f" and {len(broken) - SHOWN} more classes" if len(broken) > SHOWN else "")


def _refuse_nothing(seen: Scan, duplicates: Duplicates, vanished: Counter[str]) -> None:
    if not len(duplicates.keep):
        one, *_ = duplicates.contradictory
        other = next(index for index in duplicates.contradictory if seen.rows[index].label != seen.rows[one].label)
        why = (
            f"{vanished.total()} are of one colour because transparent pixels become {seen.drawn.background}; "
            f"set pack.background={vanished.most_common(1)[0][0]}"
            if vanished
            else "check the files and their labels"
        )
        raise UserError(
            f"no image is left: all {len(seen.rows)} have pixels that occur under two labels, such as "
            f"{seen.rows[one].path} and {seen.rows[other].path}; {why}"
        )
