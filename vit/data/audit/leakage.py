"""Leakage: how well a program does on val and test if it only recognizes images it saw in train."""

from dataclasses import dataclass

import numpy as np

from vit.data.audit.duplicates import Frames
from vit.data.audit.findings import Findings
from vit.data.majority import majority_accuracy
from vit.data.manifest import Row

ROWS_AT_ONCE = 256
HELD_OUT = ("val", "test")


@dataclass(frozen=True)
class Leakage:
    """Shares in [0, 1] of the images of one split; `nearest_frame_accuracy` is None where names carry no frame numbers.

    `groups` is the number of groups, which determines the standard error of these shares.
    """

    majority_accuracy: float
    near_duplicate_share: float
    nearest_neighbour_accuracy: float
    nearest_frame_accuracy: float | None
    groups: int = 1

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
            "nearest_frame_accuracy": self.nearest_frame_accuracy,
        }
        return {f"{prefix}{name}": value for name, value in known.items() if value is not None}


def measure(findings: Findings, parts: dict[str, list[Row]]) -> dict[str, Leakage]:
    """The leakage of val and of test, each against train, in a split of the images in `findings`."""
    places = _places(findings, parts)
    labels = np.array([row.label for row in findings.rows])
    held_out = np.concatenate([places[part] for part in HELD_OUT])
    hits = labels[nearest_neighbours(findings.scan.thumbnails, places["train"], held_out)] == labels[held_out]
    hits_of = dict(zip(HELD_OUT, np.split(hits, [len(places["val"])]), strict=True))
    found = {}
    for part in HELD_OUT:
        majority, near, by_number = _without_pixels(findings, labels, places["train"], places[part])
        groups = len({row.group for row in parts[part]})
        found[part] = Leakage(majority, near, float(hits_of[part].mean()), by_number, groups)
    return found


def leakage_between(findings: Findings, train: list[Row], held_out: list[Row]) -> float:
    """Only the `leakage` of one split, without the nearest neighbours, which take long."""
    places = _places(findings, {"train": train, "held out": held_out})
    labels = np.array([row.label for row in findings.rows])
    return _leakage(*_without_pixels(findings, labels, places["train"], places["held out"]))


def _leakage(majority: float, near_duplicates: float, by_number: float | None) -> float:
    return max(near_duplicates, (by_number or 0.0) - majority, 0.0)


def _places(findings: Findings, parts: dict[str, list[Row]]) -> dict[str, np.ndarray]:
    """The positions in `findings` of the rows of each split."""
    position = {row.path: index for index, row in enumerate(findings.rows)}
    return {part: np.array([position[row.path] for row in rows], dtype=int) for part, rows in parts.items()}


def _without_pixels(
    findings: Findings, labels: np.ndarray, train: np.ndarray, asked: np.ndarray
) -> tuple[float, float, float | None]:
    """Accuracy of the majority class, share with a near duplicate in train, accuracy of the nearest frame number."""
    near = float(np.isin(findings.groups[asked], findings.groups[train]).mean())
    by_number = _nearest_frame(findings.frames, labels, train, asked)
    return majority_accuracy(labels[train], labels[asked]), near, by_number


def nearest_neighbours(thumbnails: np.ndarray, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """For each position in `test`, the one in `train` with the nearest of `thumbnails` (N, 24, 24, 3), Euclidean."""
    known = thumbnails[train].reshape(len(train), -1).astype(np.float32)
    squares = np.square(known).sum(axis=1)
    nearest = np.empty(len(test), dtype=train.dtype)
    for start in range(0, len(test), ROWS_AT_ONCE):
        chosen = test[start : start + ROWS_AT_ONCE]
        asked = thumbnails[chosen].reshape(len(chosen), -1).astype(np.float32)
        nearest[start : start + ROWS_AT_ONCE] = train[(squares - 2 * asked @ known.T).argmin(axis=1)]
    return nearest


def _nearest_frame(frames: Frames, labels: np.ndarray, train: np.ndarray, test: np.ndarray) -> float | None:
    """Accuracy of the label of the train frame with the nearest number in the same series; None without a video."""
    video = frames.in_a_video()
    series = np.array(frames.series)
    hits: list[bool] = []
    for name in sorted(frames.across_classes):
        known = train[video[train] & (series[train] == name)]
        asked = test[video[test] & (series[test] == name)]
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
