"""Assign whole groups to splits or folds: requested sizes, and class shares as close to the data set's as possible."""

from collections import Counter, defaultdict

import numpy as np

from vit.data.manifest import Row
from vit.errors import UserError

DRAWS = 300  # assignments that are tried; the one with the class shares closest to the whole is kept


class Groups:
    """Numbered groups of images: their rows, and their counts per class (groups, classes).

    A selection never takes the last images of a class: a class within a single group stays in train.
    """

    def __init__(self, rows: list[Row]):
        members: dict[str, list[Row]] = defaultdict(list)
        for row in rows:
            members[row.group].append(row)
        self.names = sorted(members)
        self.members = [members[name] for name in self.names]
        self.all = np.arange(len(self.names))
        column = {label: index for index, label in enumerate(sorted({row.label for row in rows}))}
        self.counts = np.zeros((len(self.names), len(column)), dtype=int)
        for index, group in enumerate(self.members):
            for label, count in Counter(row.label for row in group).items():
                self.counts[index, column[label]] = count
        self.sizes = self.counts.sum(axis=1)

    def rows(self, chosen: np.ndarray) -> list[Row]:
        return [row for index in chosen for row in self.members[index]]

    def without(self, chosen: np.ndarray) -> np.ndarray:
        return np.setdiff1d(self.all, chosen)

    def closest(self, among: np.ndarray, wanted: float, generator: np.random.Generator, leave: int = 0) -> np.ndarray:
        """Groups of `among` with `wanted` images, to within one group, and with the class shares of all of `among`.

        Each class keeps at least one group; `leave` further groups also remain.
        """
        best, least = among[:0], np.inf
        for _ in range(DRAWS):
            free = self._without_last(generator.permutation(among))
            free = free[: len(free) - leave]
            if not len(free):
                continue
            chosen = free[: int(np.abs(self.sizes[free].cumsum() - wanted).argmin()) + 1]
            deviation = self._deviation(chosen, among)
            if deviation < least:
                best, least = chosen, deviation
        if not len(best):
            raise UserError(
                f"{len(self.names)} group(s) ('{self.names[0]}' ...) cannot fill train, val and test with an image of "
                "each class to train on; make them smaller"
            )
        return best

    def _without_last(self, order: np.ndarray) -> np.ndarray:
        """`order` without the last group of each class in it."""
        # (classes, groups) in reverse order: the first with any is the last of that class.
        backwards = self.counts[order[::-1]] > 0
        last = len(order) - 1 - backwards.argmax(axis=0)[backwards.any(axis=0)]
        return np.delete(order, last)

    def folds(self, folds: int, generator: np.random.Generator) -> list[np.ndarray]:
        """All groups in `folds` heaps of about equal size, each with the class shares of the data set.

        A group without which a class would have no train images is in none of the heaps.
        """
        best, least = [], np.inf
        for _ in range(DRAWS if len(self.names) >= folds else 0):
            order = generator.permutation(self.all)
            filled = self.sizes[order].cumsum()
            cuts = [int(np.abs(filled - filled[-1] * k / folds).argmin()) + 1 for k in range(1, folds)]
            heaps = np.split(order, cuts)
            deviation = max(self._deviation(heap, self.all) if len(heap) else np.inf for heap in heaps)
            if deviation < least:
                best, least = heaps, deviation
        if not best:
            raise UserError(
                f"{len(self.names)} groups cannot make split.folds {folds}; use smaller groups or fewer folds"
            )
        return [self._not_whole_classes(heap) for heap in best]

    def _not_whole_classes(self, heap: np.ndarray) -> np.ndarray:
        """`heap` without one group of each class that no other heap has."""
        whole = self.counts[heap].sum(axis=0) == self.counts.sum(axis=0)
        last = [int(np.flatnonzero(self.counts[heap, column])[-1]) for column in np.flatnonzero(whole)]
        return np.delete(heap, last)

    def _deviation(self, chosen: np.ndarray, among: np.ndarray) -> float:
        """Largest difference in a class's share; higher if a class is missing, highest if no other group has it."""
        ours, whole = self.counts[chosen].sum(axis=0), self.counts[among].sum(axis=0)
        there = whole > 0
        difference = np.abs(ours / ours.sum() - whole / whole.sum()).max()
        return float(difference + (ours[there] == 0).sum() + len(whole) * (ours[there] == whole[there]).sum())
