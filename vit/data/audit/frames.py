"""Frame numbers in the names of images: which series an image belongs to, and which series is a video."""

import itertools
import re
from collections import defaultdict
from dataclasses import dataclass
from sys import intern

import numpy as np

from vit.data.manifest import Row, given_part

FRAME_NUMBER = re.compile(r"(?<!\d)\d{1,18}(?!\d)(?!.*\d)")  # the last number in a file's name, if int64 holds it


@dataclass(frozen=True)
class Frames:
    """Where names carry numbers: the series that each image belongs to ('' for none) and its number in it.

    `across_classes` names the series whose numbers run through several classes, as those of a video do.
    """

    series: list[str]
    numbers: np.ndarray
    across_classes: set[str]

    def in_a_video(self) -> np.ndarray:
        """Which images are numbered in a series that runs through several classes; boolean (N,)."""
        return np.array([name in self.across_classes for name in self.series], dtype=bool)


def frame_numbers(rows: list[Row]) -> Frames:
    """Read series and frame number from the names: `frame12.jpg` is number 12 of `frame#`.

    A series goes through all classes where its numbers are unique there, or through those of one given split where they
    restart in each; else it stays within a class. It counts as a video only if its label changes back and forth;
    numbers that were given class by class reveal nothing. `vit.data.audit.videos` looks at the images, too.
    """
    numbered = [(index, match) for index, row in enumerate(rows) if (match := FRAME_NUMBER.search(_name(row)))]
    members: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for index, match in numbered:
        name = _name(rows[index])
        members[f"{name[: match.start()]}#{name[match.end() :]}"].append((int(match.group()), index))
    series, numbers, across = [""] * len(rows), np.full(len(rows), -1), set()
    for name, found in members.items():
        for narrowed, inside in _unique_numbers(name, found, rows):
            for number, index in inside:
                series[index] = narrowed or intern(f"{rows[index].label}/{name}")
                numbers[index] = number
            labels = [rows[index].label for _, index in sorted(inside)]
            changes = sum(one != other for one, other in itertools.pairwise(labels))
            if narrowed and changes >= 3 * len(set(labels)) > 3:
                across.add(narrowed)
    return Frames(series, numbers, across)


def _unique_numbers(
    name: str, found: list[tuple[int, int]], rows: list[Row]
) -> list[tuple[str, list[tuple[int, int]]]]:
    """The (number, index) pairs of a series: whole if no number repeats, else by given split, else without a name."""
    if _are_unique(found):
        return [(name, found)]
    by_split: dict[str | None, list[tuple[int, int]]] = defaultdict(list)
    for number, index in found:
        by_split[given_part(rows[index].path)].append((number, index))
    if None not in by_split and all(map(_are_unique, by_split.values())):
        return [(f"{split}/{name}", inside) for split, inside in by_split.items()]
    return [("", found)]


def _are_unique(found: list[tuple[int, int]]) -> bool:
    return len({number for number, _ in found}) == len(found)


def _name(row: Row) -> str:
    """The path without class, given split and ending; a number after a dot is not an ending."""
    *folders, name = row.path.split("/")[2 if given_part(row.path) else 1 :]
    stem, _, ending = name.rpartition(".")
    return "/".join([*folders, stem if stem and not ending.isdigit() else name])
