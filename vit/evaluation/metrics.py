"""What a list of answers is worth: headline figures with their intervals, and figures per class and image."""

import logging

import numpy as np
from scipy.sparse import csr_array
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from vit.config.schema import EvaluateParams
from vit.evaluation.bootstrap import group_numbers, percentiles, resampled_totals, widened
from vit.evaluation.calibration import bin_numbers
from vit.evaluation.predictions import Answers

log = logging.getLogger("vit")

SHARES = ("accuracy", "balanced_accuracy", "macro_f1", "top_k_accuracy")


def headline(answers: Answers, settings: EvaluateParams) -> dict[str, float]:
    """Each figure of `figures` as `test_<name>`, with `test_<name>_low` and `_high`, the interval by groups of images.

    `test_groups` says how many groups there are; where all images are of one, each counts as its own. Log loss and
    Brier score (1950: summed over the classes, at most 2) are means over images.
    """
    columns = _columns(answers, settings.top_k, settings.ece_bins)
    numbers = group_numbers(answers.groups)
    if numbers.max() == 0:
        log.warning("warning: all test images are of one group; the intervals are those of single images, too narrow")
        numbers = np.arange(len(numbers))
    groups = int(numbers.max()) + 1
    members = csr_array((np.ones(len(numbers)), (numbers, np.arange(len(numbers)))))
    sums = {name: members @ column for name, column in columns.items()}
    values = figures({name: column.sum(axis=0) for name, column in columns.items()})
    replicates = figures(resampled_totals(sums, settings.seed))
    metrics: dict[str, float] = {}
    for name, value in values.items():
        low, high = (float(end) for end in percentiles(replicates[name], groups, settings.confidence_level))
        if name in SHARES:
            low, high = widened(float(value), low, high, groups, settings.confidence_level)
        metrics |= {f"test_{name}": float(value), f"test_{name}_low": low, f"test_{name}_high": high}
    return metrics | {"test_groups": groups}


def _columns(answers: Answers, top_k: int, bins: int) -> dict[str, csr_array]:
    """What the figures are sums of, a line per image."""
    labels, probabilities, predictions = answers.labels, answers.probabilities, answers.predictions
    classes = len(answers.classes)
    of_truth = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    truth = _one_hot(labels, classes)
    plain = {
        "images": np.ones(len(labels)),
        "loss": -np.log(of_truth.clip(1e-12)),
        "brier": np.square(probabilities, dtype=np.float64).sum(axis=1) - 2 * of_truth + 1,
    }
    if top_k < classes:
        plain["among_top_k"] = _rank(probabilities, labels) < top_k
    return {
        **{name: csr_array(values[:, None].astype(np.float64)) for name, values in plain.items()},
        "truth": truth,
        "answers": _one_hot(predictions, classes),
        "hits": _one_hot(labels, classes, answers.correct),
        "gaps": _gaps(labels, probabilities, bins),
        "uncalibrated_gaps": _gaps(labels, answers.uncalibrated, bins),
    }


def figures(totals: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Headline figures (...) from the sums over images of the columns (..., k) that they are made of.

    Balanced accuracy is the mean over the classes that occur, macro F1 that over classes that occur or were answered,
    as in scikit-learn. The expected calibration error (ECE) is the mean distance of confidence and accuracy in equally
    wide bins, weighted by their images.
    """
    images = totals["images"][..., 0]
    truth, answered, hits = totals["truth"], totals["answers"], totals["hits"]
    known = {
        "accuracy": hits.sum(axis=-1) / images,
        "balanced_accuracy": _mean_over(hits, truth),
        "macro_f1": _mean_over(2 * hits, truth + answered),
    }
    if "among_top_k" in totals:
        known["top_k_accuracy"] = totals["among_top_k"][..., 0] / images
    return known | {
        "loss": totals["loss"][..., 0] / images,
        "brier": totals["brier"][..., 0] / images,
        "ece": np.abs(totals["gaps"]).sum(axis=-1) / images,
        "ece_uncalibrated": np.abs(totals["uncalibrated_gaps"]).sum(axis=-1) / images,
    }


def _mean_over(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """The mean of above / below (..., K) over the classes for which `below` is not 0."""
    shares = np.divide(above, below, out=np.zeros_like(above), where=below > 0)
    return shares.sum(axis=-1) / (below > 0).sum(axis=-1)


def _one_hot(places: np.ndarray, classes: int, values: np.ndarray | None = None) -> csr_array:
    values = np.ones(len(places)) if values is None else values.astype(np.float64)
    return csr_array((values, (np.arange(len(places)), places)), shape=(len(places), classes))


def _gaps(labels: np.ndarray, probabilities: np.ndarray, bins: int) -> csr_array:
    """Confidence minus correctness of each answer, in the column of its bin of confidence."""
    confidences = probabilities.max(axis=1).astype(np.float64)
    return _one_hot(bin_numbers(confidences, bins), bins, confidences - (probabilities.argmax(axis=1) == labels))


def _rank(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How many classes come before the true one, by probability; of equal ones the first class, as in argmax."""
    of_truth = probabilities[np.arange(len(labels)), labels][:, None]
    earlier = np.arange(probabilities.shape[1]) < labels[:, None]
    return ((probabilities > of_truth) | ((probabilities == of_truth) & earlier)).sum(axis=1)


def per_class(answers: Answers) -> list[dict]:
    """Precision, recall, F1 in [0, 1] and the number of images of each class."""
    wanted = range(len(answers.classes))
    columns = precision_recall_fscore_support(answers.labels, answers.predictions, labels=wanted, zero_division=0)
    names = ("precision", "recall", "f1", "images")
    return [
        {"class": name, **dict(zip(names, map(float, row[:3]), strict=False)), "images": int(row[3])}
        for name, row in zip(answers.classes, np.stack(columns, axis=1), strict=True)
    ]


def confusion(answers: Answers) -> np.ndarray:
    """Counts (K, K): a row per true class, a column per predicted one."""
    return confusion_matrix(answers.labels, answers.predictions, labels=range(len(answers.classes)))


def rates(counts: np.ndarray) -> np.ndarray:
    """The counts (K, K) as shares of their true class; a class without images has a row of zeros."""
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


def confusion_rows(matrix: np.ndarray, classes: list[str]) -> list[dict]:
    """A matrix (K, K) as a table: a row per true class, its name in a column without one; a column per answer."""
    rows = zip(classes, matrix.tolist(), strict=True)
    return [{"": name} | dict(zip(classes, row, strict=True)) for name, row in rows]


def prediction_rows(answers: Answers) -> list[dict]:
    """A line per image of a split: path, label, group, prediction, confidence, and the probability of every class."""
    lines = []
    for row, shares in zip(answers.rows, answers.probabilities.tolist(), strict=True):
        best = int(np.argmax(shares))
        answer = {"prediction": answers.classes[best], "confidence": shares[best]}
        named = zip(answers.classes, shares, strict=True)
        lines.append(row._asdict() | answer | {f"p_{name}": value for name, value in named})
    return lines
