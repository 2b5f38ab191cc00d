"""Confidence intervals by bootstrap over groups of images.

Errors on neighbouring frames are correlated, so whole groups are drawn with replacement (Davison and Hinkley 1997,
section 3.8). With few groups plain percentiles are too narrow; they are expanded as in Hesterberg (2015, "What Teachers
Should Know About the Bootstrap"): Student's t instead of the normal, times the square root of n / (n - 1).
"""

from collections.abc import Hashable, Iterator
from statistics import NormalDist

import numpy as np

RESAMPLES = 2000
ENTRIES_AT_ONCE = 4_000_000  # of weights: 32 MB


def group_numbers(groups: np.ndarray) -> np.ndarray:
    """The groups' names (N,) as integers >= 0, int64 (N,)."""
    return np.unique(groups, return_inverse=True)[1]


def resampled_weights(groups: int, seed: int, resamples: int = RESAMPLES) -> Iterator[np.ndarray]:
    """How often each group is drawn, float64 (chunk, groups), in chunks until there are `resamples` rows."""
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
    """The interval of the share of True in bool `values` (N,); None, None if there is only one group.

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
    """`low` and `high` of a share; if it is 0 or 1 in every resample, Wilson's interval (1927), one trial per group.

    Otherwise a model that is correct on every test image would seem certain to be always correct.
    """
    if low < high or share not in (0.0, 1.0):
        return low, high
    squared = NormalDist().inv_cdf((1 + confidence) / 2) ** 2
    doubt = squared / (groups + squared)
    return (1 - doubt, 1.0) if share == 1.0 else (0.0, doubt)


def interval_of_difference(
    difference: float, replicates: np.ndarray, groups: int, confidence: float
) -> tuple[float, float]:
    """The expanded percentile interval of a difference from its `replicates` (resamples,) over `groups`.

    Where less than one resample would lie beyond an end, it reaches at least as far as Student's t times the standard
    error (Efron and Tibshirani 1993, section 12): the outermost resample knows nothing of rarer ones.
    """
    low, high = percentiles(replicates, groups, confidence)
    tail = (1 - confidence) / 2
    if tail * len(replicates) < 1:
        from scipy.special import stdtrit

        reach = -stdtrit(groups - 1, tail) * np.sqrt(groups / (groups - 1)) * replicates.std()
        low, high = min(low, difference - reach), max(high, difference + reach)
    return float(low), float(high)


def percentiles(replicates: np.ndarray, groups: int, confidence: float) -> np.ndarray:
    """The expanded percentile interval, (2, ...): low and high of `replicates` (resamples, ...) over `groups`."""
    groups = max(groups, 2)  # a single group has no spread anyway
    from scipy.special import stdtrit  # late: takes half a second and is rarely needed

    tail = (1 - confidence) / 2
    quantile = stdtrit(groups - 1, tail) * np.sqrt(groups / (groups - 1))
    expanded = NormalDist().cdf(float(quantile))
    return np.quantile(replicates, [expanded, 1 - expanded], axis=0)
