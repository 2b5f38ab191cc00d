"""Whether a window and val come from one distribution: a permutation test per figure, with one false-alarm rate.

Neighbouring frames are alike, so whole blocks are exchanged between the two (Chung and Romano 2013 discuss when such
tests are exact). If blocks are independent and nothing drifted, a window alarms at most at the stated rate, over all
its tests together (Holm 1979).
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import comb

import numpy as np
from scipy.sparse import csr_array
from scipy.spatial.distance import cdist
from scipy.stats import permutation_test

from vit.monitoring.sample import Sample

FIGURES = ("labels", "confidence", "embedding", "brightness", "sharpness", "size")
GRID = 256  # values at which two distribution functions are compared
BATCH = 100  # permutations at once
DIGITS = 12  # of a distance: below, permutations that are equal differ by rounding
SEED = 0

Statistic = Callable[[np.ndarray], np.ndarray]  # of the weights (..., blocks), which are positive in the window


@dataclass(frozen=True)
class Finding:
    """`distance` is 0 if window and val are equal, at most 1; `p` is that of its permutations, `adjusted` by Holm for
    all tests of the window."""

    distance: float
    p: float
    adjusted: float


def compare(live: Sample, val: Sample, rate: float) -> dict[str, Finding]:
    """A test per figure. With enough blocks, a `rate` as small as this can be shown."""
    blocks = _Blocks(live, val)
    permutations = int(np.ceil(5 * len(FIGURES) / rate))
    names = np.unique(np.concatenate([live.label, val.label]))
    found = {
        "labels": blocks.test(*_shares(blocks, _both(live.label, val.label)[:, None] == names), permutations),
        "embedding": blocks.test(*_energy(blocks, _both(live.embedding, val.embedding)), permutations),
    }
    for name in live.figures.keys() & val.figures.keys():
        values = _both(live.figures[name], val.figures[name])
        found[name] = blocks.test(*_kolmogorov_smirnov(blocks, values), permutations)
    adjusted = holm(np.array([found[name][1] for name in FIGURES]))
    return {name: Finding(*found[name], float(p)) for name, p in zip(FIGURES, adjusted, strict=True)}


def smallest_p(live_blocks: int, val_blocks: int) -> float:
    """The smallest p that exchanging so many blocks can give."""
    return 1 / comb(live_blocks + val_blocks, live_blocks)


def holm(p: np.ndarray) -> np.ndarray:
    """Adjusted p-values (K,): any below a rate is a false one at most at that rate; Holm 1979."""
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1, stepped)
    return adjusted


class _Blocks:
    """The blocks of window and val, and what exchanging them does to a statistic."""

    def __init__(self, live: Sample, val: Sample):
        numbers = [np.unique(sample.block, return_inverse=True)[1] for sample in (live, val)]
        self.live = int(numbers[0].max()) + 1
        of = np.concatenate([numbers[0], numbers[1] + self.live])
        self.count = int(of.max()) + 1
        self._members = csr_array((np.ones(len(of)), (of, np.arange(len(of)))), shape=(self.count, len(of)))
        self.sizes = self._members.sum(axis=1)

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Values (N, M), the window's first, summed per block (blocks, M)."""
        return self._members @ values.astype(np.float64)

    def weights(self, live: np.ndarray) -> np.ndarray:
        """The weights (..., blocks) by which sums become the mean of the blocks `live` (..., k) minus that of the
        others."""
        chosen = np.zeros((*live.shape[:-1], self.count))
        np.put_along_axis(chosen, live, 1.0, axis=-1)
        images = (chosen @ self.sizes)[..., None]
        return chosen / images - (1 - chosen) / (self.sizes.sum() - images)

    def test(self, statistic: Statistic, scale: float, permutations: int) -> tuple[float, float]:
        """The statistic over `scale`, and its p."""
        if not scale:  # all points are equal
            return 0.0, 1.0
        numbers = np.arange(self.count)

        def exchanged(live: np.ndarray, val: np.ndarray, axis: int) -> np.ndarray:
            return np.round(statistic(self.weights(live.astype(int))) / scale, DIGITS)

        found = permutation_test(
            (numbers[: self.live], numbers[self.live :]),
            exchanged,
            permutation_type="independent",
            vectorized=True,
            n_resamples=permutations,
            batch=BATCH,
            alternative="greater",
            rng=np.random.default_rng(SEED),
        )
        return float(found.statistic), float(found.pvalue)


def _both(live: np.ndarray, val: np.ndarray) -> np.ndarray:
    return np.concatenate([live, val])


def _shares(blocks: _Blocks, is_class: np.ndarray) -> tuple[Statistic, float]:
    """Pearson's chi-square of the shares of classes, from bool (N, classes); 1 if the two share no class."""
    counts = blocks.sums(is_class)
    pooled = is_class.mean(axis=0)
    share = blocks.sizes[: blocks.live].sum() / blocks.sizes.sum()
    return lambda weights: np.square(weights @ counts) @ (1 / pooled), 1 / (share * (1 - share))


def _kolmogorov_smirnov(blocks: _Blocks, values: np.ndarray) -> tuple[Statistic, float]:
    """The largest difference of two distribution functions, from values (N,), at GRID quantiles of both together."""
    grid = np.unique(np.quantile(values, np.linspace(0, 1, GRID + 1), method="inverted_cdf"))
    below = blocks.sums(values[:, None] <= grid)
    return lambda weights: np.abs(weights @ below).max(axis=-1), 1.0


def _energy(blocks: _Blocks, points: np.ndarray) -> tuple[Statistic, float]:
    """The energy distance of points (N, D), over the mean distance between window and val: 0 if equal, at most 1.

    Székely and Rizzo 2013, "Energy statistics: A class of statistics based on distances", with its coefficient H.
    """
    distances = cdist(points, points)
    sums = blocks.sums(blocks.sums(distances).T)
    live, val = np.split(np.arange(blocks.count), [blocks.live])
    mean = sums[np.ix_(live, val)].sum() / (blocks.sizes[live].sum() * blocks.sizes[val].sum())
    return lambda weights: -((weights @ sums) * weights).sum(axis=-1), 2 * float(mean)
