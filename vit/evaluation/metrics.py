"""Headline metrics with their intervals; each is an entry of METRICS."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import numpy as np
from scipy.sparse import csr_array

from vit.config.schema import EvaluateParams
from vit.evaluation.bootstrap import group_numbers, percentiles, resampled_totals, widened
from vit.evaluation.calibration import calibration_gaps, mean_gap
from vit.evaluation.predictions import Predictions
from vit.inference.scores import balanced_accuracy, macro_f1

log = logging.getLogger("vit")

SMALLEST_PROBABILITY = 1e-12  # in a log loss, which would be infinite at 0
Column = Callable[[Predictions, EvaluateParams], csr_array]  # one row per image, (N, k)


class Kind(Enum):
    SHARE = "share"  # in [0, 1]; an interval at exactly 0 or 1 is widened, as no test set proves either
    ERROR = "error"  # a loss or a distance, 0 is best; its interval is that of the resamples


@dataclass(frozen=True)
class Metric:
    """A headline metric: `value` computes it (...) from the sums over images (..., k) of each of its `columns`.

    `meaning` is its line in the reference.
    `applies` says, from the number of classes and the settings, whether it is reported.
    """

    name: str
    kind: Kind
    meaning: str
    columns: tuple[Column, ...]
    value: Callable[..., np.ndarray]
    applies: Callable[[int, EvaluateParams], bool] = lambda classes, settings: True


def _image_count(predictions: Predictions, settings: EvaluateParams) -> csr_array:
    return _single(np.ones(len(predictions.labels)))


def _true_class(predictions: Predictions, settings: EvaluateParams) -> csr_array:
    return _one_hot(predictions.labels, len(predictions.classes))


def _predicted_class(predictions: Predictions, settings: EvaluateParams) -> csr_array:
    return _one_hot(predictions.predicted_labels, len(predictions.classes))


def _correct_class(predictions: Predictions, settings: EvaluateParams) -> csr_array:
    """The class of each image that is predicted correctly."""
    return _one_hot(predictions.labels, len(predictions.classes), predictions.correct)


def _in_top_k(predictions: Predictions, settings: EvaluateParams) -> csr_array:
    return _single(_rank(predictions.probabilities, predictions.labels) < settings.top_k)


def _log_loss(predictions: Predictions, settings: EvaluateParams) -> csr_array:
    return _single(-np.log(_of_truth(predictions).clip(SMALLEST_PROBABILITY)))


def _brier(predictions: Predictions, settings: EvaluateParams) -> csr_array:
    """Squared distance between probabilities and true labels, summed over classes: at most 2 (Brier 1950)."""
    squares = np.square(predictions.probabilities, dtype=np.float64).sum(axis=1)
    return _single(squares - 2 * _of_truth(predictions) + 1)


def _gaps(predictions: Predictions, settings: EvaluateParams) -> csr_array:
    return _binned_gaps(predictions.labels, predictions.probabilities, settings.ece_bins)


def _uncalibrated_gaps(predictions: Predictions, settings: EvaluateParams) -> csr_array:
    return _binned_gaps(predictions.labels, predictions.uncalibrated, settings.ece_bins)


def _mean(images: np.ndarray, column: np.ndarray) -> np.ndarray:
    return column.sum(axis=-1) / images[..., 0]


def _calibration_error(images: np.ndarray, gaps: np.ndarray) -> np.ndarray:
    return mean_gap(gaps, images[..., 0])


METRICS = (
    Metric("accuracy", Kind.SHARE, "share of images that are predicted right", (_image_count, _correct_class), _mean),
    Metric(
        "balanced_accuracy",
        Kind.SHARE,
        "mean over the classes of the share of their images that are predicted right",
        (_correct_class, _true_class),
        balanced_accuracy,
    ),
    Metric(
        "macro_f1",
        Kind.SHARE,
        "mean over the classes of the harmonic mean of precision and recall",
        (_correct_class, _true_class, _predicted_class),
        macro_f1,
    ),
    Metric(
        "top_k_accuracy",
        Kind.SHARE,
        "share of images whose class is among the `evaluate.top_k` most probable; absent unless there are more classes",
        (_image_count, _in_top_k),
        _mean,
        applies=lambda classes, settings: settings.top_k < classes,
    ),
    Metric(
        "loss",
        Kind.ERROR,
        "log loss: mean of -ln of the probability of the true class",
        (_image_count, _log_loss),
        _mean,
    ),
    Metric(
        "brier",
        Kind.ERROR,
        "Brier score: mean squared distance of the probabilities from the truth, summed over the classes; at most 2",
        (_image_count, _brier),
        _mean,
    ),
    Metric(
        "ece",
        Kind.ERROR,
        "expected calibration error: mean gap of confidence and accuracy over `evaluate.ece_bins` bins of confidence",
        (_image_count, _gaps),
        _calibration_error,
    ),
    Metric(
        "ece_uncalibrated",
        Kind.ERROR,
        "the same at temperature 1, before calibration",
        (_image_count, _uncalibrated_gaps),
        _calibration_error,
    ),
)


def headline(
    predictions: Predictions, settings: EvaluateParams, metrics: tuple[Metric, ...] = METRICS
) -> dict[str, float]:
    """Each metric that applies as `test_<name>`, with `test_<name>_low` and `_high`, the interval by groups of images.

    `test_groups` is the number of groups; if all images are in one group, each image counts as its own.
    """
    chosen = [metric for metric in metrics if metric.applies(len(predictions.classes), settings)]
    columns = {column: column(predictions, settings) for metric in chosen for column in metric.columns}
    numbers = group_numbers(predictions.groups)
    if numbers.max() == 0:
        log.warning(
            "warning: all test images are in one group; intervals treat images as independent and are too narrow"
        )
        numbers = np.arange(len(numbers))
    groups = int(numbers.max()) + 1
    members = csr_array((np.ones(len(numbers)), (numbers, np.arange(len(numbers)))))
    totals = {column: values.sum(axis=0) for column, values in columns.items()}
    resampled = resampled_totals({column: members @ values for column, values in columns.items()}, settings.seed)
    scores: dict[str, float] = {}
    for metric in chosen:
        value = float(metric.value(*(totals[column] for column in metric.columns)))
        replicates = metric.value(*(resampled[column] for column in metric.columns))
        low, high = (float(end) for end in percentiles(replicates, groups, settings.confidence_level))
        if metric.kind is Kind.SHARE:
            low, high = widened(value, low, high, groups, settings.confidence_level)
        name = f"test_{metric.name}"
        scores |= {name: value, f"{name}_low": low, f"{name}_high": high}
    return scores | {"test_groups": groups}


def _single(values: np.ndarray) -> csr_array:
    return csr_array(values[:, None].astype(np.float64))


def _of_truth(predictions: Predictions) -> np.ndarray:
    """The probability (N,) of each true class."""
    return predictions.probabilities[np.arange(len(predictions.labels)), predictions.labels].astype(np.float64)


def _one_hot(places: np.ndarray, classes: int, values: np.ndarray | None = None) -> csr_array:
    values = np.ones(len(places)) if values is None else values.astype(np.float64)
    return csr_array((values, (np.arange(len(places)), places)), shape=(len(places), classes))


def _binned_gaps(labels: np.ndarray, probabilities: np.ndarray, bins: int) -> csr_array:
    """The calibration gap of each prediction, in the column of its confidence bin."""
    numbers, gaps = calibration_gaps(probabilities.max(axis=1), probabilities.argmax(axis=1) == labels, bins)
    return _one_hot(numbers, bins, gaps)


def _rank(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How many classes rank above the true one by probability; ties go to the lower index, as in argmax."""
    of_truth = probabilities[np.arange(len(labels)), labels][:, None]
    earlier = np.arange(probabilities.shape[1]) < labels[:, None]
    return ((probabilities > of_truth) | ((probabilities == of_truth) & earlier)).sum(axis=1)
