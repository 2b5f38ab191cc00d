"""Which numbered series are videos: their labels change back and forth, and their neighbours look alike."""

import itertools
from collections import defaultdict
from dataclasses import replace

import numpy as np

from vit.data.audit.frames import Frames
from vit.data.audit.table import Looks

# Of the distance of two images of a class. Measured: 0.24 for a cartoon at one frame a second, 0.88 for emoji numbered
# by their code points, whose neighbours are of one kind but are not one scene.
ALIKE = 0.5
FEWEST, MOST = 8, 2000  # pairs of neighbours that a series is judged by


def without_lists(frames: Frames, labels: np.ndarray, looks: Looks) -> Frames:
    """Frames whose series across classes are videos only; a list of things in some order reveals no scene.

    `labels` (N,) and `looks` are those of the numbered images.
    """
    members: dict[str, list[int]] = defaultdict(list)
    for index, name in enumerate(frames.series):
        if name in frames.across_classes:
            members[name].append(index)
    videos = {
        name
        for name, found in members.items()
        if _look_alike(np.array(found)[np.argsort(frames.numbers[found], kind="stable")], labels, looks)
    }
    return replace(frames, across_classes=videos)


def _look_alike(ordered: np.ndarray, labels: np.ndarray, looks: Looks) -> bool:
    """Whether neighbours of one class are much more alike than images of that class from elsewhere in the series.

    Too few neighbours to judge count as alike, so that a short video is not missed.
    """
    elsewhere = _half_a_class_away(ordered, labels)
    near = [(one, other) for one, other in itertools.pairwise(ordered.tolist()) if labels[one] == labels[other]]
    if len(near) < FEWEST:
        return True
    chosen = [near[place] for place in np.linspace(0, len(near) - 1, min(len(near), MOST)).astype(int)]
    ones, others = np.array(chosen).T
    away = np.array([elsewhere[one] for one in ones.tolist()])
    return _distance(looks, ones, others) <= ALIKE * _distance(looks, ones, away)


def _half_a_class_away(ordered: np.ndarray, labels: np.ndarray) -> dict[int, int]:
    """For each image, the one of its class that half of that class lies between, counted in the series' order."""
    found: dict[int, int] = {}
    for label in np.unique(labels[ordered]):
        mine = ordered[labels[ordered] == label]
        found |= dict(zip(mine.tolist(), np.roll(mine, len(mine) // 2).tolist(), strict=True))
    return found


def _distance(looks: Looks, ones: np.ndarray, others: np.ndarray) -> float:
    """The median root mean square difference of the thumbnails of pairs, in grey levels of 255."""
    differences = looks.thumbnails(ones).astype(np.float32) - looks.thumbnails(others)
    return float(np.median(np.sqrt(np.square(differences).mean(axis=1))))
