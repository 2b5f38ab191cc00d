"""What a split gives away: how well a program does on test that only recognizes what it saw in train."""

from dataclasses import dataclass

import numpy as np

from vit.data.audit.duplicates import Frames
from vit.data.audit.findings import Findings
from vit.data.majority import majority_accuracy
from vit.data.manifest import Row

ROWS_AT_ONCE = 256


@dataclass(frozen=True)
class Leakage:
    """Shares in [0, 1] of the test images; `nearest_frame_accuracy` is None where names carry no frame numbers."""

    majority_accuracy: float
    near_duplicate_share: float
    nearest_neighbour_accuracy: float
    nearest_frame_accuracy: float | None

    @property
    def leakage(self) -> float:
        """What the split itself gives away: near duplicates, or what frame numbers tell beyond the majority class.

        The nearest neighbour is no part of it: on easy data it is right without any leak.
        """
        by_number = (self.nearest_frame_accuracy or 0.0) - self.majority_accuracy
        return max(self.near_duplicate_share, by_number, 0.0)

    def figures(self) -> dict[str, float]:
        """All of it for metrics/split.json, without what is not known."""
        known = {
            "leakage": self.leakage,
            "majority_accuracy": self.majority_accuracy,
            "near_duplicate_share": self.near_duplicate_share,
            "nearest_neighbour_accuracy": self.nearest_neighbour_accuracy,
            "nearest_frame_accuracy": self.nearest_frame_accuracy,
        }
        return {name: value for name, value in known.items() if value is not None}


def measure(findings: Findings, parts: dict[str, list[Row]]) -> Leakage:
    """Judge a split of the images in `findings`."""
    position = {row.path: index for index, row in enumerate(findings.rows)}
    train, test = (np.array([position[row.path] for row in parts[part]]) for part in ("train", "test"))
    labels = np.array([row.label for row in findings.rows])
    nearest = nearest_neighbours(findings.scan.thumbnails, train, test)
    return Leakage(
        majority_accuracy=majority_accuracy(labels[train], labels[test]),
        near_duplicate_share=float(np.isin(findings.groups[test], findings.groups[train]).mean()),
        nearest_neighbour_accuracy=float((labels[nearest] == labels[test]).mean()),
        nearest_frame_accuracy=_nearest_frame(findings.frames, labels, train, test),
    )


def nearest_neighbours(thumbnails: np.ndarray, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """For each position of `test` the one of `train` whose thumbnail of (N, 24, 24, 3) is nearest, by Euclid."""
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
    """For each number of `asked` the position in `known` of the nearest one, the lower of two equally near."""
    order = np.argsort(known, kind="stable")
    ranked = known[order]
    above = np.searchsorted(ranked, asked).clip(0, len(ranked) - 1)
    below = (above - 1).clip(0)
    return order[np.where(np.abs(ranked[below] - asked) <= np.abs(ranked[above] - asked), below, above)]
