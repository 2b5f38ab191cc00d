"""How far a figure would move with other images of the same kind: the bootstrap over groups of images.

Neighbouring frames are wrong together, so whole groups are drawn, with replacement (Davison and Hinkley 1997, 3.8).
With few groups plain percentiles are too narrow; they are taken further out, as Hesterberg (2015, "What Teachers Should
Know About the Bootstrap") expands them: by Student's t in place of the normal, and by the root of n / (n - 1).
"""

from collections.abc import Hashable, Iterator
from statistics import NormalDist

import numpy as np

RESAMPLES = 2000
ENTRIES_AT_ONCE = 4_000_000  # of weights: 32 MB


def group_numbers(groups: np.ndarray) -> np.ndarray:
    """The groups' names (N,) as whole numbers from 0 on, int64 (N,)."""
    return np.unique(groups, return_inverse=True)[1]


def resampled_weights(groups: int, seed: int, resamples: int = RESAMPLES) -> Iterator[np.ndarray]:
    """How often each group was drawn, float64 (some resamples, groups), until there are `resamples` rows in all."""
    generator = np.random.default_rng(seed)
    at_once = max(1, ENTRIES_AT_ONCE // groups)
    for start in range(0, resamples, at_once):
        count = min(at_once, resamples - start)
        drawn = generator.integers(groups, size=(count, groups)) + groups * np.arange(count)[:, None]
        yield np.bincount(drawn.ravel(), minlength=count * groups).reshape(count, groups).astype(np.float64)


def resampled_totals(sums: dict[Hashable, np.ndarray], seed: int) -> dict[Hashable, np.ndarray]:
    """Totals of columns per resample, each (resamples, k), from their sums per group (groups, k), dense or sparse."""
    groups = next(iter(sums.values())).shape[0]
    chunks = [{name: drawn @ table for name, table in sums.items()} for drawn in resampled_weights(groups, seed)]
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in sums}


def share_interval(
    values: np.ndarray, groups: np.ndarray, confidence: float, seed: int
) -> tuple[float, float] | tuple[None, None]:
    """The interval of the share of images that are True in bool `values` (N,); None, None where all are of one group.

    `groups` (N,) are names or numbers.
    """
    numbers = group_numbers(groups)
    count = int(numbers.max()) + 1
    if count < 2:
        return None, None
    sums = np.stack([np.bincount(numbers, weights=values), np.bincount(numbers)], axis=1)
    totals = resampled_totals({"": sums}, seed)[""]
    low, high = percentiles(totals[:, 0] / totals[:, 1], count, confidence)
    return widened(float(values.mean()), float(low), float(high), count, confidence)


def widened(share: float, low: float, high: float, groups: int, confidence: float) -> tuple[float, float]:
    """`low` and `high` of a share; where it is 0 or 1 and every resample alike, Wilson's (1927), a trial per group.

    Without it a model that happens to be right on every image would be certain to be right always.
    """
    if low < high or share not in (0.0, 1.0):
        return low, high
    squared = NormalDist().inv_cdf((1 + confidence) / 2) ** 2
    doubt = squared / (groups + squared)
    return (1 - doubt, 1.0) if share == 1.0 else (0.0, doubt)


def percentiles(replicates: np.ndarray, groups: int, confidence: float) -> np.ndarray:
    """The expanded percentile interval, (2, ...): low and high of `replicates` (resamples, ...) of so many groups."""
    groups = max(groups, 2)  # a lone image has no spread either way
    from scipy.special import stdtrit  # late: half a second, which a publication that judges nothing should not pay

    tail = (1 - confidence) / 2
    quantile = stdtrit(groups - 1, tail) * np.sqrt(groups / (groups - 1))
    expanded = NormalDist().cdf(float(quantile))
    return np.quantile(replicates, [expanded, 1 - expanded], axis=0)
