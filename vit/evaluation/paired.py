"""Two models on the same images: is the one better, or was it luck? Statistics alone, without torch and mlflow."""

from math import comb

import numpy as np

from vit.evaluation.bootstrap import group_numbers, percentiles, resampled_weights


def mcnemar(correct_a: np.ndarray, correct_b: np.ndarray) -> float:
    """Two-sided p of McNemar's exact test (1947): of the images that one model alone gets right, is it half each?

    Takes bool (N,) per model. It counts images as independent, which neighbouring frames are not: then p is too small,
    and `paired_bootstrap` by group is the one to believe.
    """
    only_a, only_b = int((correct_a & ~correct_b).sum()), int((correct_b & ~correct_a).sum())
    disputed = only_a + only_b
    as_extreme = sum(comb(disputed, wins) for wins in range(min(only_a, only_b) + 1))
    return min(1.0, 2 * as_extreme / 2**disputed)


def verdict(low: float, high: float) -> str:
    """What the interval of a difference says of its first: better, worse, or inconclusive where 0 lies within."""
    return "better" if low > 0 else "worse" if high < 0 else "inconclusive"


def paired_bootstrap(
    correct_a: np.ndarray, correct_b: np.ndarray, groups: np.ndarray | None, confidence: float, seed: int
) -> tuple[float, float, float]:
    """Accuracy of b minus that of a, with the low and high end of its interval, all in [-1, 1].

    Takes bool (N,) per model, and the name or number of each image's group (N,); None: every image is its own. With
    one group nothing is known, and the interval is -1 to 1. Where no image is right by one model alone it is 0 to 0.
    """
    numbers = np.arange(len(correct_a)) if groups is None else group_numbers(groups)
    gains = np.bincount(numbers, weights=correct_b.astype(float) - correct_a)
    sizes = np.bincount(numbers)
    difference = float(gains.sum() / sizes.sum())
    if len(sizes) < 2:
        return difference, -1.0, 1.0
    replicates = np.concatenate([(drawn @ gains) / (drawn @ sizes) for drawn in resampled_weights(len(sizes), seed)])
    low, high = percentiles(replicates, len(sizes), confidence)
    return difference, float(low), float(high)
