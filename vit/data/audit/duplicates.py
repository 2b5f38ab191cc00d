"""Repeated images: exact copies, copies under two labels, and near duplicates such as neighbouring frames."""

import itertools
import re
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from vit.data.audit.scan import Scan
from vit.data.manifest import PARTS, Row, given_part

# Measured on 4,400 frames of a cartoon at one frame a second, and on digits, where nothing is a near duplicate:
# 14 bits follow a shot from frame to frame, and the thumbnails' distance keeps unlike pictures with like hashes apart.
CHAIN_BITS, CHAIN_DISTANCE, CHAIN_STEP = 14, 32.0, 3
PAIR_BITS, PAIR_DISTANCE = 8, 8.0
FRAME_NUMBER = re.compile(r"(?<!\d)\d{1,18}(?!\d)(?!.*\d)")  # the last number in a file's name, if int64 holds it
ROWS_AT_ONCE = 128


@dataclass(frozen=True)
class Duplicates:
    """Positions in a scan: the images to keep, (copy, kept one) pairs, and images whose pixels have two labels."""

    keep: list[int]
    copies: list[tuple[int, int]]
    contradictory: list[int]


def exact_duplicates(scan: Scan) -> Duplicates:
    """Equal pixels are kept once, outside train if the source has splits; under two labels, not at all."""
    same: dict[str, list[int]] = defaultdict(list)
    for index, look in enumerate(scan.looks):
        same[look.pixels].append(index)
    keep, copies, contradictory = [], [], []
    for members in same.values():
        if len({scan.rows[i].label for i in members}) > 1:
            contradictory += members
            continue
        first, *others = sorted(members, key=lambda i: (-_apartness(scan.rows[i]), scan.rows[i].path))
        keep.append(first)
        copies += [(other, first) for other in others]
    return Duplicates(sorted(keep), sorted(copies), sorted(contradictory))


def _apartness(row: Row) -> int:
    part = given_part(row.path)
    return PARTS.index(part) if part else 0


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
    numbers that were given class by class reveal nothing.
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
                series[index] = narrowed or f"{rows[index].label}/{name}"
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


def near_duplicate_groups(scan: Scan, frames: Frames) -> np.ndarray:
    """A group number per image (N,), the same for near duplicates.

    Two rules make pairs, which are merged into groups: any two images with similar hashes and thumbnails; and, by a
    looser rule, neighbours in a series of frame numbers, as a shot changes little from frame to frame.
    """
    count = len(scan.rows)
    thumbnails = scan.thumbnails.reshape(count, -1).astype(np.float32)
    groups = _joined(np.arange(count), *_consecutive(scan.hashes, thumbnails, frames))
    for start in range(0, count, ROWS_AT_ONCE):
        # Pairs that are in one group already are not compared: a camera that stands still would make N² / 2 of them.
        ones, others = _like_hashes(scan.hashes, start)
        apart = groups[ones] != groups[others]
        ones, others = ones[apart], others[apart]
        close = _distance(thumbnails, ones, others) <= PAIR_DISTANCE
        groups = _joined(groups, ones[close], others[close])
    return groups


def are_near_duplicates(ones: Scan, others: Scan) -> np.ndarray:
    """Which images of two scans have similar hashes and thumbnails, boolean (images of `ones`, of `others`)."""
    found = np.bitwise_count(ones.hashes[:, None] ^ others.hashes[None]) <= PAIR_BITS
    thumbnails = np.concatenate([ones.thumbnails, others.thumbnails]).reshape(found.shape[0] + found.shape[1], -1)
    rows, columns = np.nonzero(found)
    found[rows, columns] = _distance(thumbnails.astype(np.float32), rows, columns + len(found)) <= PAIR_DISTANCE
    return found


def _joined(groups: np.ndarray, ones: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Group numbers (N,) after merging the groups of each pair of images."""
    if not len(ones):
        return groups
    count = int(groups.max()) + 1
    links = coo_array((np.ones(len(ones)), (groups[ones], groups[others])), shape=(count, count))
    return connected_components(links, directed=False)[1][groups]


def _like_hashes(hashes: np.ndarray, start: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of some images from `start` on with all later ones, if their hashes are similar."""
    block = hashes[start : start + ROWS_AT_ONCE, None]
    near = np.bitwise_count(block ^ hashes[None, start:]) <= PAIR_BITS
    ones, others = np.nonzero(np.triu(near, 1))
    return ones + start, others + start


def _consecutive(hashes: np.ndarray, thumbnails: np.ndarray, frames: Frames) -> tuple[np.ndarray, np.ndarray]:
    places = zip(frames.series, frames.numbers.tolist(), range(len(hashes)), strict=True)
    order = sorted(place for place in places if place[0])
    neighbours = [
        (before[2], after[2])
        for before, after in itertools.pairwise(order)
        if before[0] == after[0] and after[1] - before[1] <= CHAIN_STEP
    ]
    ones, others = np.array(neighbours, dtype=int).reshape(-1, 2).T
    chained = np.bitwise_count(hashes[ones] ^ hashes[others]) <= CHAIN_BITS
    chained &= _distance(thumbnails, ones, others) <= CHAIN_DISTANCE
    return ones[chained], others[chained]


def _distance(thumbnails: np.ndarray, ones: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Root mean square difference of thumbnails, in grey levels of 255, a few thousand pairs at a time."""
    distances = np.empty(len(ones), dtype=np.float32)
    for start in range(0, len(ones), 4096):
        chosen = slice(start, start + 4096)
        distances[chosen] = np.sqrt(np.square(thumbnails[ones[chosen]] - thumbnails[others[chosen]]).mean(axis=1))
    return distances
