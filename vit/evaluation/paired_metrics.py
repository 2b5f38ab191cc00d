"""Compares two models on the same images by any of METRICS, from their tables of predictions."""

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from vit.config.schema import EvaluateParams
from vit.data.manifest import Row
from vit.evaluation.bootstrap import (
    ENTRIES_AT_ONCE,
    RESAMPLES,
    group_numbers,
    interval_of_difference,
    resampled_totals,
)
from vit.evaluation.metrics import METRICS, SMALLEST_PROBABILITY, Kind, Metric
from vit.evaluation.predictions import Predictions
from vit.inference.scores import SIGNS

MOST_EXCHANGES = 2_000_000  # of a permutation test: some 10 s with 500 groups
ROUNDING = 1e-12  # sums in another order differ by less
Sums = tuple[np.ndarray, ...]  # of each column of a metric, (groups, k), sparse


@dataclass(frozen=True)
class PairedScores:
    """The scores of models a and b, and by how much b is better: above 0 even if a lower score is better.

    `low` and `high` are the ends of the interval of `difference`, `p` is that of the permutation test.
    """

    score_a: float
    score_b: float
    difference: float
    low: float
    high: float
    p: float


def compare_by(
    name: str,
    labels: list[str],
    tables: tuple[list[dict], list[dict]],
    groups: np.ndarray,
    confidence: float,
    seed: int,
) -> PairedScores:
    """Compares models a and b by the metric `name`; `tables` hold their `p_CLASS` columns, a row per label.

    Interval by the paired bootstrap and p by permutation, both over whole groups. A single group gives no information:
    the interval is as wide as the metric allows.
    """
    metric = next(one for one in METRICS if one.name == {"log_loss": "loss"}.get(name, name))
    numbers = group_numbers(groups)
    count = int(numbers.max()) + 1
    members = csr_array((np.ones(len(numbers)), (numbers, np.arange(len(numbers)))))
    a, b = (_sums(metric, _read(labels, table, groups), members) for table in tables)
    score_a, score_b = (float(metric.value(*(one.sum(axis=0) for one in sums))) for sums in (a, b))
    difference = SIGNS[name] * (score_b - score_a)
    if count < 2:
        widest = 1.0 if metric.kind is Kind.SHARE else -np.log(SMALLEST_PROBABILITY)
        return PairedScores(score_a, score_b, difference, -widest, widest, 1.0)
    places = range(len(metric.columns))
    of_both: dict[Hashable, np.ndarray] = {
        (model, place): sums[place] for model, sums in enumerate((a, b)) for place in places
    }
    drawn = resampled_totals(of_both, seed)
    of_a, of_b = (metric.value(*(drawn[model, place] for place in places)) for model in range(2))
    low, high = interval_of_difference(difference, SIGNS[name] * (of_b - of_a), count, confidence)
    p = permutation_test(metric, a, b, seed, exchanges_for(confidence))
    return PairedScores(score_a, score_b, difference, low, high, p)


def exchanges_for(confidence: float) -> int:
    """Enough that a p below 1 - `confidence` can be found, with ten times that precision."""
    return min(MOST_EXCHANGES, max(RESAMPLES, round(10 / (1 - confidence))))


def permutation_test(metric: Metric, a: Sums, b: Sums, seed: int, exchanges: int = RESAMPLES) -> float:
    """Two-sided p of the paired permutation test, whose null hypothesis is that the models are interchangeable.

    Exchanges the models in random groups (Good 2005, "Permutation, Parametric and Bootstrap Tests of Hypotheses").
    With a group per image and accuracy this is McNemar's test, up to its draws; p is at least 1 / (`exchanges` + 1).
    """
    generator, groups = np.random.default_rng(seed), a[0].shape[0]
    totals = [tuple(one.sum(axis=0) for one in sums) for sums in (a, b)]
    found = abs(metric.value(*totals[1]) - metric.value(*totals[0]))
    as_extreme, at_once = 0, max(1, ENTRIES_AT_ONCE // groups)
    for start in range(0, exchanges, at_once):
        exchanged = generator.integers(2, size=(min(at_once, exchanges - start), groups)).astype(np.float64)
        moved = [exchanged @ (of_b - of_a) for of_a, of_b in zip(a, b, strict=True)]
        new_a, new_b = (
            metric.value(*(total + sign * change for total, change in zip(sums, moved, strict=True)))
            for sums, sign in zip(totals, (1, -1), strict=True)
        )
        as_extreme += int((np.abs(new_b - new_a) >= found - ROUNDING).sum())
    return (as_extreme + 1) / (exchanges + 1)


def _read(labels: list[str], table: list[dict], groups: np.ndarray) -> Predictions:
    classes = sorted(name.removeprefix("p_") for name in table[0] if name.startswith("p_"))
    probabilities = np.array([[float(row[f"p_{name}"]) for name in classes] for row in table])
    rows = [Row("", label, str(group)) for label, group in zip(labels, groups, strict=True)]
    truth = np.array([classes.index(label) for label in labels])
    return Predictions(rows, truth, probabilities, probabilities, classes)


def _sums(metric: Metric, predictions: Predictions, members: csr_array) -> Sums:
    return tuple(members @ column(predictions, EvaluateParams()) for column in metric.columns)
