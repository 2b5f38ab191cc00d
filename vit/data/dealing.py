"""Assign whole groups to splits or folds: requested sizes, and class shares as close to the data set's as possible."""

import numpy as np

from vit.data.manifest import Row
from vit.errors import UserError

DRAWS = 300  # assignments that are tried; the one with the class shares closest to the whole is kept
MANY = 100_000  # groups; the more there are, the closer any draw is, and the fewer are tried
FEWEST = 20


class Groups:
    """Numbered groups of images: their rows, and their counts per class.

    A selection never takes the last images of a class: a class within a single group stays in train.
    """

    def __init__(self, rows: list[Row]):
        self.names = sorted({row.group for row in rows})
        self.all = np.arange(len(self.names))
        self._rows = rows
        group, label = _numbers([row.group for row in rows], self.names), _numbers([row.label for row in rows])
        self.sizes = np.bincount(group)
        self._order, self._start = np.argsort(group, kind="stable"), np.cumsum(self.sizes) - self.sizes
        # How many images of a class are in a group, for those pairs that have any, by class: a table of groups and
        # classes would be empty almost everywhere.
        self._classes = int(label.max(initial=-1)) + 1
        pairs, self._count = np.unique(label * len(self.names) + group, return_counts=True)
        self._class, self._group = np.divmod(pairs, max(1, len(self.names)))
        self._first = np.searchsorted(self._class, np.arange(self._classes))
        self._draws = max(FEWEST, min(DRAWS, DRAWS * MANY // max(1, len(self.names))))

    def rows(self, chosen: np.ndarray) -> list[Row]:
        sizes = self.sizes[chosen]
        places = np.arange(sizes.sum()) + np.repeat(self._start[chosen] - np.cumsum(sizes) + sizes, sizes)
        return [self._rows[index] for index in self._order[places].tolist()]

    def without(self, chosen: np.ndarray) -> np.ndarray:
        return np.setdiff1d(self.all, chosen)

    def closest(self, among: np.ndarray, wanted: float, generator: np.random.Generator, leave: int = 0) -> np.ndarray:
        """Groups of `among` with `wanted` images, to within one group, and with the class shares of all of `among`.

        Each class keeps at least one group; `leave` further groups also remain.
        """
        best, least, whole = among[:0], np.inf, self._count_classes(among)
        for _ in range(self._draws):
            free = self._without_last(generator.permutation(among))
            free = free[: len(free) - leave]
            if not len(free):
                continue
            chosen = free[: int(np.abs(self.sizes[free].cumsum() - wanted).argmin()) + 1]
            deviation = _deviation(self._count_classes(chosen), whole)
            if deviation < least:
                best, least = chosen, deviation
        if not len(best):
            raise UserError(
                f"{len(self.names)} group(s) ('{self.names[0]}' ...) cannot fill train, val and test with an image of "
                "each class to train on; make them smaller"
            )
        return best

    def _count_classes(self, chosen: np.ndarray) -> np.ndarray:
        """How many images of each class some groups have, (classes,)."""
        there = np.zeros(len(self.names), dtype=bool)
        there[chosen] = True
        there = there[self._group]
        return np.bincount(self._class[there], self._count[there], self._classes).astype(int)

    def _last(self, order: np.ndarray) -> np.ndarray:
        """The place in `order` of the last group of each class, -1 where there is none; (classes,)."""
        place = np.full(len(self.names), -1)
        place[order] = np.arange(len(order))
        return np.maximum.reduceat(place[self._group], self._first)

    def _without_last(self, order: np.ndarray) -> np.ndarray:
        """`order` without the last group of each class in it."""
        last = self._last(order)
        return np.delete(order, last[last >= 0])

    def folds(self, folds: int, generator: np.random.Generator) -> list[np.ndarray]:
        """All groups in `folds` heaps of about equal size, each with the class shares of the data set.

        A group without which a class would have no train images is in none of the heaps.
        """
        best, least, whole = [], np.inf, self._count_classes(self.all)
        for _ in range(self._draws if len(self.names) >= folds else 0):
            order = generator.permutation(self.all)
            filled = self.sizes[order].cumsum()
            cuts = [int(np.abs(filled - filled[-1] * k / folds).argmin()) + 1 for k in range(1, folds)]
            heaps = np.split(order, cuts)
            deviation = max(_deviation(self._count_classes(heap), whole) if len(heap) else np.inf for heap in heaps)
            if deviation < least:
                best, least = heaps, deviation
        if not best:
            raise UserError(
                f"{len(self.names)} groups cannot make split.folds {folds}; use smaller groups or fewer folds"
            )
        return [self._not_whole_classes(heap, whole) for heap in best]

    def _not_whole_classes(self, heap: np.ndarray, whole: np.ndarray) -> np.ndarray:
        """`heap` without one group of each class that no other heap has."""
        return np.delete(heap, self._last(heap)[self._count_classes(heap) == whole])


def _numbers(names: list[str], known: list[str] | None = None) -> np.ndarray:
    """The number of each name among the sorted names (N,)."""
    places = {name: place for place, name in enumerate(known or sorted(set(names)))}
    return np.fromiter((places[name] for name in names), dtype=np.int64, count=len(names))


def _deviation(ours: np.ndarray, whole: np.ndarray) -> float:
    """Largest difference in a class's share; higher if a class is missing, highest if no other group has it.

    Both count images by class: those of the chosen groups, and those of all.
    """
    there = whole > 0
    difference = np.abs(ours / ours.sum() - whole / whole.sum()).max()
    return float(difference + (ours[there] == 0).sum() + len(whole) * (ours[there] == whole[there]).sum())
