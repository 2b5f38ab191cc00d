"""Paired statistics: is one of two models better on the same images, or was it luck? No torch, no mlflow."""

from math import comb

import numpy as np

from vit.evaluation.bootstrap import group_numbers, interval_of_difference, resampled_weights


def mcnemar(correct_a: np.ndarray, correct_b: np.ndarray) -> float:
    """Two-sided p of McNemar's exact test (1947): of the images that only one model gets right, does each win half?

    Takes bool (N,) per model. It assumes independent images, which neighbouring frames are not: p is then too small, so
    rely on `paired_bootstrap` by group.
    """
    only_a, only_b = int((correct_a & ~correct_b).sum()), int((correct_b & ~correct_a).sum())
    disputed = only_a + only_b
    as_extreme = sum(comb(disputed, wins) for wins in range(min(only_a, only_b) + 1))
    return min(1.0, 2 * as_extreme / 2**disputed)


def verdict(low: float, high: float) -> str:
    """The verdict on the first of two models from the interval of the difference; inconclusive if it contains 0."""
    return "better" if low > 0 else "worse" if high < 0 else "inconclusive"


def paired_bootstrap(
    correct_a: np.ndarray, correct_b: np.ndarray, groups: np.ndarray | None, confidence: float, seed: int
) -> tuple[float, float, float]:
    """Accuracy of b minus that of a, with the low and high end of its interval, all in [-1, 1].

    Takes bool (N,) per model, and the name or number of each image's group (N,); None: each image is its own group.
    With one group the interval is -1 to 1. If both models are correct on the same images it is 0 to 0.
    """
    numbers = np.arange(len(correct_a)) if groups is None else group_numbers(groups)
    gains = np.bincount(numbers, weights=correct_b.astype(float) - correct_a)
    sizes = np.bincount(numbers)
    difference = float(gains.sum() / sizes.sum())
    if len(sizes) < 2:
        return difference, -1.0, 1.0
    replicates = np.concatenate([(drawn @ gains) / (drawn @ sizes) for drawn in resampled_weights(len(sizes), seed)])
    return difference, *interval_of_difference(difference, replicates, len(sizes), confidence)
