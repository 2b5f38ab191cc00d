"""A person's sketch of where a model looks, scored against where it did look.

A guess is a map of patches. All guesses are scored with the area that the person painted, so that painting more, or
everything, wins nothing.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata

CENTRE_SPREAD = 0.25  # standard deviation of the centre guess, in sides of the image


class Score(NamedTuple):
    """How well a guess meets the model's map: `iou` and `pointing` in [0, 1], `rank` in [-1, 1]; 1 is best."""

    iou: float
    pointing: float
    rank: float


def painted(strokes: Sequence[dict], height: int, width: int) -> np.ndarray:
    """The pixels (H, W) whose centre lies within the radius of a stroke; radii and points (x, y) are in pixels."""
    y, x = np.mgrid[:height, :width] + 0.5
    mask = np.zeros((height, width), dtype=bool)
    for stroke in strokes:
        points = np.asarray(stroke["points"], dtype=float)
        ends = points[1:] if len(points) > 1 else points
        for (from_x, from_y), (to_x, to_y) in zip(points, ends, strict=False):
            along = np.array([to_x - from_x, to_y - from_y])
            length = max(float(along @ along), 1e-12)
            share = np.clip(((x - from_x) * along[0] + (y - from_y) * along[1]) / length, 0, 1)
            distance = np.hypot(x - from_x - share * along[0], y - from_y - share * along[1])
            mask |= distance <= stroke["radius"]
    return mask


def coverage(mask: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """The share of each patch (rows, columns) that a mask (H, W) of whole patches covers, in [0, 1]."""
    rows, columns = grid
    height, width = mask.shape
    return mask.reshape(rows, height // rows, columns, width // columns).mean(axis=(1, 3))


def region(values: np.ndarray, area: float) -> np.ndarray:
    """The highest patches of a map, as shares in [0, 1] that sum to `area` patches.

    Patches of equal value share what is left of the area evenly, so a constant map is covered evenly.
    """
    shares, left = np.zeros(values.shape), min(area, values.size)
    for value in sorted(set(values.flatten().tolist()), reverse=True):
        alike = values == value
        taken = min(left, int(alike.sum()))
        shares[alike] = taken / alike.sum()
        left -= taken
        if left <= 0:
            break
    return shares


def score(guess: np.ndarray, truth: np.ndarray, area: float) -> Score:
    """A guess against the model's map, both (rows, columns), each cut to its highest `area` patches.

    `iou` is the sum of minima over the sum of maxima of the two regions, which for whole patches is intersection over
    union. `pointing` is the share of the map's highest patch that the guess covers (Zhang et al. 2016, "Top-down
    Neural Attention by Excitation Backprop", section 4.3, asks whether it is hit). `rank` is Spearman's correlation
    of the maps; 0 if one of them is constant.
    """
    guessed, looked = region(guess, area), region(truth, area)
    union = np.maximum(guessed, looked).sum()
    iou = float(np.minimum(guessed, looked).sum() / union) if union else 0.0
    return Score(iou, float(guessed[truth == truth.max()].mean()), _spearman(guess, truth))


def centre_guess(grid: tuple[int, int]) -> np.ndarray:
    """A Gaussian around the middle of the image: what photographers do, and a strong guess in saliency benchmarks."""
    down, across = (((np.arange(count) + 0.5) / count - 0.5) / CENTRE_SPREAD for count in grid)
    return np.exp(-(down[:, None] ** 2 + across**2) / 2)


def scores(sketch: np.ndarray, truth: np.ndarray, average: np.ndarray | None) -> dict[str, Score]:
    """The sketch (coverage of patches) beside a uniform and a centre guess and the `average` map, at the area painted.

    The average map over test images is left out where there is none.
    """
    guesses = {"you": sketch, "uniform": np.ones(truth.shape), "centre": centre_guess((truth.shape[0], truth.shape[1]))}
    if average is not None:
        guesses["average map"] = average
    return {name: score(guess, truth, float(sketch.sum())) for name, guess in guesses.items()}


def _spearman(first: np.ndarray, second: np.ndarray) -> float:
    ranks = [rankdata(values.flatten()) for values in (first, second)]
    if any(one.std() == 0 for one in ranks):
        return 0.0
    return float(np.corrcoef(*ranks)[0, 1])
