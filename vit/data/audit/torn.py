"""Near duplicates that lie in different splits: the most similar pairs, to show."""

import heapq
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from vit.data.audit.findings import Findings
from vit.data.audit.table import Looks
from vit.data.manifest import Row

PAIRS = 12
SMALL = 64  # pairs of a group: all groups that small are compared at once
PAIRS_AT_ONCE = 4096
OTHERS_AT_ONCE = 256
MOST = 8192  # images of a group and a split: of more, as of a camera that stands still, some are compared
Pair = tuple[float, int, int]  # squared distance of the thumbnails, position in train, position in the other split


def torn_pairs(findings: Findings, parts: dict[str, list[Row]], part: str) -> list[tuple[str, str]]:
    """Paths of near duplicates in train and in `part`, at most 12, most similar first, each image in one pair."""
    small, large = _candidates(findings.groups, findings.positions(parts["train"]), findings.positions(parts[part]))
    looks = findings.scan.looks
    best = _disjoint(_compared(looks, *small))
    for ones, others in large:
        best = heapq.nsmallest(PAIRS, [*best, *_disjoint(_nearest(looks, ones, others))])
    return [(findings.rows[one].path, findings.rows[other].path) for _, one, other in best]


def _candidates(
    groups: np.ndarray, train: np.ndarray, part: np.ndarray
) -> tuple[tuple[np.ndarray, np.ndarray], Iterator[tuple[np.ndarray, np.ndarray]]]:
    """The pairs (P,), (P,) of the small groups with images in both splits, and the images of each large one."""
    count = int(groups.max(initial=0)) + 1
    sides = [positions[np.argsort(groups[positions], kind="stable")] for positions in (train, part)]
    sizes = [np.bincount(groups[side], minlength=count) for side in sides]
    starts = [np.cumsum(size) - size for size in sizes]
    pairs = sizes[0] * sizes[1]
    small = np.flatnonzero((pairs > 0) & (pairs <= SMALL))
    number = np.repeat(small, pairs[small])
    place = np.arange(len(number)) - np.repeat(np.cumsum(pairs[small]) - pairs[small], pairs[small])
    ones = sides[0][starts[0][number] + place // sizes[1][number]]
    others = sides[1][starts[1][number] + place % sizes[1][number]]
    train_of, part_of = (_members(side, start, size) for side, start, size in zip(sides, starts, sizes, strict=True))
    large = ((train_of(group), part_of(group)) for group in np.flatnonzero(pairs > SMALL).tolist())
    return (ones, others), large


def _members(side: np.ndarray, start: np.ndarray, size: np.ndarray) -> Callable[[int], np.ndarray]:
    """The images of a group in one split, at most MOST, evenly spaced; `side` has those of all groups in turn."""

    def of(group: int) -> np.ndarray:
        count = int(size[group])
        chosen = np.arange(count) if count <= MOST else np.arange(MOST) * count // MOST
        return side[start[group] + chosen]

    return of


def _disjoint(pairs: Iterable[Pair]) -> list[Pair]:
    """The nearest pairs, at most 12, each image in one."""
    chosen: list[Pair] = []
    shown: set[int] = set()
    for pair in sorted(pairs):
        if len(chosen) < PAIRS and not shown.intersection(pair[1:]):
            chosen.append(pair)
            shown.update(pair[1:])
    return chosen


def _compared(looks: Looks, ones: np.ndarray, others: np.ndarray) -> Iterator[Pair]:
    for start in range(0, len(ones), PAIRS_AT_ONCE):
        one, other = ones[start : start + PAIRS_AT_ONCE], others[start : start + PAIRS_AT_ONCE]
        differences = looks.thumbnails(one).astype(np.int32) - looks.thumbnails(other)
        squares = np.einsum("ij,ij->i", differences, differences)
        yield from zip(squares.astype(float).tolist(), one.tolist(), other.tolist(), strict=True)


def _nearest(looks: Looks, ones: np.ndarray, others: np.ndarray) -> Iterator[Pair]:
    """Each of `others` with its nearest of `ones`, as many as are shown: listing all pairs would take too long.

    Distances are integers, so float64 is exact.
    """
    known = looks.thumbnails(ones).astype(np.float64)
    for start in range(0, len(others), OTHERS_AT_ONCE):
        chosen = others[start : start + OTHERS_AT_ONCE]
        asked = looks.thumbnails(chosen).astype(np.float64)
        distances = np.square(asked).sum(axis=1)[:, None] - 2 * asked @ known.T + np.square(known).sum(axis=1)
        for other, row in zip(chosen.tolist(), distances, strict=True):
            for index in np.argsort(row, kind="stable")[:PAIRS].tolist():
                yield float(row[index]), int(ones[index]), other
