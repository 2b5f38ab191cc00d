"""Repeated images: exact copies, copies under two labels, and near duplicates such as neighbouring frames."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from vit.data.audit.frames import Frames
from vit.data.audit.hash_bands import BITS, Groups, merge_similar
from vit.data.audit.scan import Scan
from vit.data.audit.table import QUARTER, VALUES, Looks
from vit.data.manifest import PARTS, Row, given_part

# Measured on 4,400 frames of a cartoon at one frame a second, and on digits, where nothing is a near duplicate:
# 14 bits follow a shot from frame to frame, and the thumbnails' distance keeps unlike pictures with like hashes apart.
CHAIN_BITS, CHAIN_DISTANCE, CHAIN_STEP = 14, 32, 3
PAIR_BITS, PAIR_DISTANCE = BITS, 8
PAIRS_AT_ONCE = 4096


@dataclass(frozen=True)
class Duplicates:
    """Positions in a scan: the images to keep (K,), (copy, kept one) pairs, and images whose pixels have two labels."""

    keep: np.ndarray
    copies: list[tuple[int, int]]
    contradictory: list[int]


def exact_duplicates(scan: Scan) -> Duplicates:
    """Equal pixels are kept once, outside train if the source has splits; under two labels, not at all."""
    digests = scan.looks.column("pixels").view(np.uint64)  # (N, 4)
    order = np.lexsort(digests.T)
    starts = np.append(0, np.flatnonzero((digests[order[1:]] != digests[order[:-1]]).any(axis=1)) + 1)
    sizes = np.diff(starts, append=len(order))
    copies, contradictory = [], []
    for start, size in zip(starts[sizes > 1].tolist(), sizes[sizes > 1].tolist(), strict=True):
        members = order[start : start + size].tolist()
        ranked = sorted(members, key=lambda i: (-_apartness(scan.rows[i]), scan.rows[i].path))
        if len({scan.rows[i].label for i in ranked}) > 1:
            contradictory += ranked
        else:
            copies += [(other, ranked[0]) for other in ranked[1:]]
    left_out = {*contradictory, *(copy for copy, _ in copies)}
    keep = np.delete(np.arange(len(scan.rows)), sorted(left_out))
    return Duplicates(keep, sorted(copies), sorted(contradictory))


def _apartness(row: Row) -> int:
    part = given_part(row.path)
    return PARTS.index(part) if part else 0


def near_duplicate_groups(scan: Scan, frames: Frames) -> np.ndarray:
    """A group number per image (N,), the same for near duplicates.

    Two rules make pairs, which are merged into groups: any two images with similar hashes and thumbnails; and, by a
    looser rule, neighbours in a series of frame numbers, as a shot changes little from frame to frame.
    """
    hashes, quarters = scan.hashes, scan.looks.column("quarters")
    groups = Groups(len(hashes))
    ones, others = _neighbours(frames)
    near = np.bitwise_count(hashes[ones] ^ hashes[others]) <= CHAIN_BITS
    ones, others = ones[near], others[near]
    chained = _are_close(ones, others, scan.looks, quarters, CHAIN_DISTANCE)
    groups.merge(ones[chained], others[chained])
    # Sums of all values differ by VALUES times the distance at most (Cauchy and Schwarz).
    are_close = partial(_are_close, looks=scan.looks, quarters=quarters, distance=PAIR_DISTANCE)
    merge_similar(groups, hashes, quarters.sum(axis=1, dtype=np.int64), VALUES * PAIR_DISTANCE, are_close)
    return groups.numbered()


def first_near_duplicates(ones: Scan, others: Scan) -> np.ndarray:
    """For each image of `ones`, the position of the first in `others` with similar hash and thumbnail, or -1; (N,)."""
    hashes = others.hashes
    found = np.full(len(ones.rows), -1)
    thumbnails = ones.thumbnails.reshape(-1, VALUES)
    for index, dhash in enumerate(ones.hashes):
        like = np.flatnonzero(np.bitwise_count(hashes ^ dhash) <= PAIR_BITS)
        close = _squares(thumbnails[[index]], others.looks.thumbnails(like)) <= VALUES * PAIR_DISTANCE**2
        found[index] = like[close][0] if close.any() else -1
    return found


def _neighbours(frames: Frames) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of images that follow each other in a series, at most CHAIN_STEP numbers apart."""
    codes = {name: code for code, name in enumerate(sorted(set(frames.series)))}
    series = np.fromiter((codes[name] for name in frames.series), dtype=np.int64, count=len(frames.series))
    order = np.lexsort((frames.numbers, series))
    if "" in codes:
        order = order[series[order] != codes[""]]
    before, after = order[:-1], order[1:]
    near = (series[before] == series[after]) & (frames.numbers[after] - frames.numbers[before] <= CHAIN_STEP)
    return before[near], after[near]


def _are_close(ones: np.ndarray, others: np.ndarray, looks: Looks, quarters: np.ndarray, distance: int) -> np.ndarray:
    """Whether the thumbnails of each pair have at most this root mean square difference, in grey levels of 255.

    The sums of quarters, which are in memory, rule out most pairs: they cannot differ by more.
    """
    close = np.zeros(len(ones), dtype=bool)
    for start in range(0, len(ones), PAIRS_AT_ONCE):
        one, other = ones[start : start + PAIRS_AT_ONCE], others[start : start + PAIRS_AT_ONCE]
        maybe = np.flatnonzero(_squares(quarters[one], quarters[other]) <= QUARTER * VALUES * distance**2)
        squares = _squares(looks.thumbnails(one[maybe]), looks.thumbnails(other[maybe]))
        close[start + maybe] = squares <= VALUES * distance**2
    return close


def _squares(ones: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The sums of squared differences (P,) of unsigned integers (P, D), exactly."""
    differences = ones.astype(np.int64 if ones.dtype == np.uint16 else np.int32) - others
    return np.einsum("ij,ij->i", differences, differences)
