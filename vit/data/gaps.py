"""Frames left out where two splits of one video meet."""

from bisect import bisect_left
from collections import defaultdict

from vit.data.audit.frames import Frames
from vit.data.manifest import PARTS, Row


def without_gaps(parts: dict[str, list[Row]], rows: list[Row], frames: Frames, gap: int) -> dict[str, list[Row]]:
    """Leave out frames of train, then of val, that are within `gap` numbers of a frame of another split."""
    numbered = zip(rows, frames.series, frames.numbers.tolist(), strict=True)
    place = {row.path: (series, number) for row, series, number in numbered if series}
    taken: dict[str, list[int]] = defaultdict(list)
    kept: dict[str, list[Row]] = {}
    for part in (part for part in reversed(PARTS) if part in parts):
        kept[part] = [row for row in parts[part] if not _is_near(place.get(row.path), taken, gap)]
        for series, number in (place[row.path] for row in kept[part] if row.path in place):
            taken[series].append(number)
        for numbers in taken.values():
            numbers.sort()
    return kept


def _is_near(place: tuple[str, int] | None, taken: dict[str, list[int]], gap: int) -> bool:
    """Whether a number of the same series, ascending in `taken`, is at most `gap` away."""
    if place is None:
        return False
    numbers = taken.get(place[0], [])
    above = bisect_left(numbers, place[1])
    return any(abs(number - place[1]) <= gap for number in numbers[max(0, above - 1) : above + 1])
