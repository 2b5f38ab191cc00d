"""Groups of images with similar hashes, found without comparing all with all.

Multi-index hashing (Norouzi, Punjani and Fleet 2012): a hash is cut into four bands of 16 bits. Of two hashes that
differ in at most 8 bits, the first bands differ in at most 2, or another pair of bands in at most 1: if not, the hashes
would differ in 3 + 2 + 2 + 2 = 9 bits. So only images with bands that near are looked at.
"""

from collections.abc import Callable, Iterator
from itertools import combinations

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

BITS = 8  # at most, between similar hashes
BAND = 16  # bits
RADII = (2, 1, 1, 1)  # bits, by band; one more in each makes BITS + 1
AT_ONCE = 2**18  # pairs
FEW = 1000  # pairs that are merged later, as merging takes as long as comparing a whole block
Close = Callable[[np.ndarray, np.ndarray], np.ndarray]


class Groups:
    """Numbers (N,), equal for images of one group; groups are merged by pairs of images."""

    def __init__(self, count: int):
        self.of = np.arange(count)

    def merge(self, ones: np.ndarray, others: np.ndarray) -> None:
        """Merge the groups of each pair of images, positions (P,)."""
        if not len(ones):
            return
        met, places = np.unique([self.of[ones], self.of[others]], return_inverse=True)
        links = coo_array((np.ones(len(ones), bool), tuple(places.reshape(2, -1))), shape=(len(met), len(met)))
        component = connected_components(links, directed=False)[1]
        lowest = np.full(component.max() + 1, len(self.of))
        np.minimum.at(lowest, component, met)
        renamed = np.arange(len(self.of))
        renamed[met] = lowest[component]
        self.of = renamed[self.of]

    def numbered(self) -> np.ndarray:
        """The groups numbered from 0 in the order of their first images."""
        _, first, places = np.unique(self.of, return_index=True, return_inverse=True)
        return np.argsort(np.argsort(first))[places]


def merge_similar(groups: Groups, hashes: np.ndarray, sums: np.ndarray, reach: int, are_close: Close) -> None:
    """Merge the groups of every two images whose hashes differ in at most BITS and that `are_close`, in place.

    `hashes` are uint64 (N,). `sums` are integers >= 0 (N,) that differ by at most `reach` if two images are close, and
    spare most comparisons. `are_close` gets positions of pairs (P,), (P,) and answers booleans (P,). Pairs that are in
    one group already are not asked about: a camera that stands still would make N² / 2 of them.
    """
    places = int(sums.max(initial=0)).bit_length()
    for number, radius in enumerate(RADII):
        values = ((hashes >> np.uint64(number * BAND)) & np.uint64(2**BAND - 1)).astype(np.int64)
        keys = values << places | sums
        order = np.argsort(keys, kind="stable")
        band = _Band(hashes[order], values[order], keys[order], sums[order], order)
        for mask in _masks(radius):
            for asked, start, end in band.ranges(mask, reach, places):
                _compare(groups, band, asked, start, end, are_close)


def _masks(radius: int) -> Iterator[int]:
    for bits in range(radius + 1):
        for chosen in combinations(range(BAND), bits):
            yield sum(1 << bit for bit in chosen)


class _Band:
    """The images in the order of one band's value, and of their sums where it is equal."""

    def __init__(self, hashes: np.ndarray, values: np.ndarray, keys: np.ndarray, sums: np.ndarray, order: np.ndarray):
        self.hashes, self.values, self.keys, self.sums, self.order = hashes, values, keys, sums, order

    def ranges(self, mask: int, reach: int, places: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Places in this order, and from where to where each has others whose band differs by `mask` and whose sums
        are within reach; of two such images only the one before has the other."""
        before = np.arange(len(self.keys)) if not mask else np.flatnonzero(self.values < self.values ^ mask)
        for first in range(0, len(before), AT_ONCE):
            asked = before[first : first + AT_ONCE]
            wanted, sums = (self.values[asked] ^ mask) << places, self.sums[asked]
            most = np.minimum(sums + reach, (1 << places) - 1)
            end = np.searchsorted(self.keys, wanted | most, side="right")
            start = asked + 1 if not mask else np.searchsorted(self.keys, wanted | np.maximum(sums - reach, 0))
            yield _not_empty(asked, start, end)


def _compare(
    groups: Groups, band: _Band, asked: np.ndarray, start: np.ndarray, end: np.ndarray, are_close: Close
) -> None:
    """Compare each of `asked` with those from `start` to `end`, few at first: what they merge need not be compared."""
    width, found = 1, []
    group, run_end = _runs(groups, band)
    while len(asked):
        # A range may begin with images of the same group.
        start = np.where(group[start] == group[asked], run_end[start], start)
        asked, start, end = _not_empty(asked, start, end)
        lengths = np.minimum(end - start, min(width, max(1, AT_ONCE // max(1, len(asked)))))
        ones = np.repeat(asked, lengths)
        others = np.arange(len(ones)) + np.repeat(start + lengths - lengths.cumsum(), lengths)
        near = np.bitwise_count(band.hashes[ones] ^ band.hashes[others]) <= BITS
        near &= group[ones] != group[others]
        ones, others = band.order[ones[near]], band.order[others[near]]
        close = are_close(ones, others)
        found.append((ones[close], others[close]))
        asked, start, end = _not_empty(asked, start + lengths, end)
        width *= 2
        if sum(len(pairs) for pairs, _ in found) > max(FEW, len(asked) // 4):
            groups.merge(*map(np.concatenate, zip(*found, strict=True)))
            found = []
            group, run_end = _runs(groups, band)
    if found:
        groups.merge(*map(np.concatenate, zip(*found, strict=True)))


def _not_empty(asked: np.ndarray, start: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    there = start < end
    return asked[there], start[there], end[there]


def _runs(groups: Groups, band: _Band) -> tuple[np.ndarray, np.ndarray]:
    """The groups in a band's order, and for each place the first one after it that has another group."""
    group = groups.of[band.order]
    ends = np.append(np.flatnonzero(group[1:] != group[:-1]) + 1, len(group))
    return group, np.repeat(ends, np.diff(ends, prepend=0))
