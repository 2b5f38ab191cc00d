"""Leakage: how well a program does on val and test if it only recognizes images it saw in train."""

from dataclasses import dataclass
from math import sqrt

import numpy as np

from vit.data.audit.findings import Findings
from vit.data.audit.frames import Frames
from vit.data.audit.table import Looks
from vit.data.majority import majority_accuracy
from vit.data.manifest import Row

ROWS_AT_ONCE = 256
TRAIN_AT_ONCE = 8192
SAMPLED = 2000  # images of a split: an interval of at most 4.4 points
Z_95 = 1.959964
HELD_OUT = ("val", "test")


@dataclass(frozen=True)
class Leakage:
    """Shares in [0, 1] of the images of one split; `nearest_frame_accuracy` is None where names carry no frame numbers.

    `groups` is the number of groups, which determines the standard error of these shares. `sampled` is the number of
    images that the nearest neighbours were measured on; None: all of them.
    """

    majority_accuracy: float
    near_duplicate_share: float
    nearest_neighbour_accuracy: float
    nearest_frame_accuracy: float | None
    groups: int = 1
    sampled: int | None = None

    @property
    def leakage(self) -> float:
        """The split's leakage: the share of near duplicates, or the accuracy of frame numbers above the majority class.

        The nearest neighbour is not included: on easy data it is correct without any leakage.
        """
        return _leakage(self.majority_accuracy, self.near_duplicate_share, self.nearest_frame_accuracy)

    def figures(self, prefix: str = "") -> dict[str, float]:
        """All known figures for metrics/split.json; their names begin with `prefix`."""
        known = {
            "leakage": self.leakage,
            "majority_accuracy": self.majority_accuracy,
            "near_duplicate_share": self.near_duplicate_share,
            "nearest_neighbour_accuracy": self.nearest_neighbour_accuracy,
            "nearest_neighbour_accuracy_low": self._interval()[0],
            "nearest_neighbour_accuracy_high": self._interval()[1],
            "nearest_frame_accuracy": self.nearest_frame_accuracy,
        }
        return {f"{prefix}{name}": value for name, value in known.items() if value is not None}

    def _interval(self) -> tuple[float, float] | tuple[None, None]:
        """Where the accuracy on all images lies, with a probability of 95 %, if it was measured on some (Wilson)."""
        if self.sampled is None:
            return None, None
        share, spread = self.nearest_neighbour_accuracy, Z_95**2 / self.sampled
        middle = share + spread / 2
        half = sqrt(spread * share * (1 - share) + spread**2 / 4)
        return max(0.0, (middle - half) / (1 + spread)), min(1.0, (middle + half) / (1 + spread))


def measure(findings: Findings, parts: dict[str, list[Row]]) -> dict[str, Leakage]:
    """The leakage of val and of test, each against train, in a split of the images in `findings`."""
    places = {part: findings.positions(rows) for part, rows in parts.items()}
    labels = findings.labels
    asked = [_drawn(places[part]) for part in HELD_OUT]
    held_out = np.concatenate(asked)
    hits = labels[nearest_neighbours(findings.scan.looks, places["train"], held_out)] == labels[held_out]
    hits_of = dict(zip(HELD_OUT, np.split(hits, [len(asked[0])]), strict=True))
    found = {}
    for part in HELD_OUT:
        majority, near, by_number = _without_pixels(findings, labels, places["train"], places[part])
        groups = len({row.group for row in parts[part]})
        sampled = len(hits_of[part]) if len(hits_of[part]) < len(places[part]) else None
        found[part] = Leakage(majority, near, float(hits_of[part].mean()), by_number, groups, sampled)
    return found


def _drawn(positions: np.ndarray) -> np.ndarray:
    """At most SAMPLED of the positions, drawn at random, in their order: comparing all takes time with their square."""
    if len(positions) <= SAMPLED:
        return positions
    return positions[np.sort(np.random.default_rng(0).choice(len(positions), SAMPLED, replace=False))]


def leakage_between(findings: Findings, train: list[Row], held_out: list[Row]) -> float:
    """Only the `leakage` of one split, without the nearest neighbours, which take long."""
    return _leakage(
        *_without_pixels(findings, findings.labels, findings.positions(train), findings.positions(held_out))
    )


def _leakage(majority: float, near_duplicates: float, by_number: float | None) -> float:
    return max(near_duplicates, (by_number or 0.0) - majority, 0.0)


def _without_pixels(
    findings: Findings, labels: np.ndarray, train: np.ndarray, asked: np.ndarray
) -> tuple[float, float, float | None]:
    """Accuracy of the majority class, share with a near duplicate in train, accuracy of the nearest frame number."""
    near = float(np.isin(findings.groups[asked], findings.groups[train]).mean())
    by_number = _nearest_frame(findings.frames, labels, train, asked)
    return majority_accuracy(labels[train], labels[asked]), near, by_number


def nearest_neighbours(looks: Looks, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """For each position in `test`, the first in `train` with the nearest thumbnail, by Euclidean distance."""
    nearest, least = np.zeros(len(test), dtype=train.dtype), np.full(len(test), np.inf, dtype=np.float32)
    asked = looks.thumbnails(test)
    for begin in range(0, len(train), TRAIN_AT_ONCE):
        block = train[begin : begin + TRAIN_AT_ONCE]
        known = looks.thumbnails(block).astype(np.float32)
        squares = np.square(known).sum(axis=1)
        for start in range(0, len(test), ROWS_AT_ONCE):
            chosen = slice(start, start + ROWS_AT_ONCE)
            distances = squares - 2 * asked[chosen].astype(np.float32) @ known.T
            found = distances.argmin(axis=1)
            distance = distances[np.arange(len(found)), found]
            nearer = distance < least[chosen]
            nearest[chosen] = np.where(nearer, block[found], nearest[chosen])
            least[chosen] = np.where(nearer, distance, least[chosen])
    return nearest


def _nearest_frame(frames: Frames, labels: np.ndarray, train: np.ndarray, test: np.ndarray) -> float | None:
    """Accuracy of the label of the train frame with the nearest number in the same series; None without a video."""
    names = {name: number for number, name in enumerate(sorted(frames.across_classes))}
    if not names:
        return None
    series = np.fromiter((names.get(name, -1) for name in frames.series), dtype=np.int64, count=len(frames.series))
    hits: list[bool] = []
    for number in names.values():
        known, asked = train[series[train] == number], test[series[test] == number]
        if len(known) and len(asked):
            nearest = known[nearest_number(frames.numbers[known], frames.numbers[asked])]
            hits += (labels[nearest] == labels[asked]).tolist()
    return float(np.mean(hits)) if hits else None


def nearest_number(known: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """For each number in `asked`, the position in `known` of the nearest one; of two equally near, the lower one."""
    order = np.argsort(known, kind="stable")
    ranked = known[order]
    above = np.searchsorted(ranked, asked).clip(0, len(ranked) - 1)
    below = (above - 1).clip(0)
    return order[np.where(np.abs(ranked[below] - asked) <= np.abs(ranked[above] - asked), below, above)]
