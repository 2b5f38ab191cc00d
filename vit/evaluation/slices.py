"""Accuracy on parts of the data: by value of a column, by listing in a CSV, and on yes-or-no questions."""

from collections import defaultdict
from pathlib import Path

import numpy as np

from vit.config.schema import EvaluateParams
from vit.data.manifest import Row
from vit.data.tables import column_values, listed
from vit.data.text import as_read
from vit.errors import UserError
from vit.evaluation.bootstrap import share_interval
from vit.evaluation.predictions import Predictions

PARAMETER = "evaluate.slices"
OF_THE_SPLIT = ("label", "group")
SLICE_COLUMNS = ["slice", "value", "images", "accuracy", "low", "high"]
QUESTION_COLUMNS = ["question", "images", "yes", "majority", "accuracy", "low", "high", "precision", "recall", "f1"]


def slice_values(name: str, rows: list[Row], known: list[Row], tables: Path) -> list[str]:
    """The value of slice `name` for each of `rows`: from a column of the split, from a column of a CSV in the folder
    `tables`, or, for the name of such a CSV, "listed" or "not listed".

    `known` are the images of all splits, which the names in CSVs refer to; a missing value is "". Raises UserError if
    the column or CSV does not exist, or if an image has two values.
    """
    if name in OF_THE_SPLIT:
        return [getattr(row, name) for row in rows]
    if name.endswith(".csv"):
        values = ["listed" if there else "not listed" for there in listed(known, tables, name, PARAMETER)]
    else:
        found = column_values(known, tables, name, PARAMETER)
        for row, of_row in zip(known, found, strict=True):
            if len(of_row) > 1:
                raise UserError(
                    f"{PARAMETER} '{name}': the table has {sorted(of_row)} for '{row.path}'; keep one of them"
                )
        values = [next(iter(of_row), "") for of_row in found]
    by_path = {row.path: value for row, value in zip(known, values, strict=True)}
    return [by_path[row.path] for row in rows]


def slice_rows(predictions: Predictions, slices: dict[str, list[str]], settings: EvaluateParams) -> list[dict]:
    """One row per value of each slice: images, accuracy and its interval, None if all images are in one group."""
    lines = []
    for name, values in slices.items():
        members = defaultdict(list)
        for index, value in enumerate(values):
            members[value].append(index)
        for value, indices in sorted(members.items()):
            correct = predictions.correct[indices]
            low, high = share_interval(correct, predictions.groups[indices], settings.confidence_level, settings.seed)
            figures = (name, value, len(indices), float(correct.mean()), low, high)
            lines.append(dict(zip(SLICE_COLUMNS, figures, strict=True)))
    return lines


def question_rows(predictions: Predictions, settings: EvaluateParams) -> list[dict]:
    """One row per question of `evaluate.questions`; yes is predicted if its classes sum to a probability >= 0.5.

    Columns: number of images, share of yes, accuracy of always predicting the more frequent answer, accuracy and its
    interval, precision, recall and F1 of yes. Raises UserError if a class is unknown.
    """
    lines, classes = [], predictions.classes
    for question, named in (settings.questions or {}).items():
        meaning_yes = [as_read(name) for name in named]
        if unknown := sorted(set(meaning_yes) - set(classes)):
            raise UserError(
                f"evaluate.questions: '{question}' names '{unknown[0]}', which is not one of the classes {classes}"
            )
        places = [classes.index(name) for name in meaning_yes]
        truth = np.isin(predictions.labels, places)
        said = predictions.probabilities[:, places].sum(axis=1, dtype=np.float64) >= 0.5
        hits, yes = int((truth & said).sum()), float(truth.mean())
        low, high = share_interval(truth == said, predictions.groups, settings.confidence_level, settings.seed)
        lines.append(
            {
                "question": question,
                "images": len(truth),
                "yes": yes,
                "majority": max(yes, 1 - yes),
                "accuracy": float((truth == said).mean()),
                "low": low,
                "high": high,
                "precision": hits / max(1, int(said.sum())),
                "recall": hits / max(1, int(truth.sum())),
                "f1": 2 * hits / max(1, int(truth.sum() + said.sum())),
            }
        )
    return lines
