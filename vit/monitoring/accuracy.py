"""Live accuracy, from labels that come after the predictions."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from vit.config.files import CORRECTIONS
from vit.data.feedback import decided
from vit.errors import UserError
from vit.evaluation.bootstrap import share_interval

LEVEL = 0.95
SEED = 0


@dataclass(frozen=True)
class LaterLabels:
    """True classes by (request id, row) and by the SHA-256 of an image file. `is_fair` if images were not labelled
    because of what the model said of them."""

    by_row: dict[tuple[str, int], str]
    by_digest: dict[str, str]
    is_fair: bool


@dataclass(frozen=True)
class Accuracy:
    """Of `images` with later labels; the ends of the interval are None if all belong to one block."""

    images: int
    value: float
    low: float | None
    high: float | None
    is_fair: bool


def labels_from_table(table: Path) -> LaterLabels:
    """A CSV with the column `label`, and `request_id` (with `row`, by default 0) or `sha256`. Raises UserError."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"--labels {table}: cannot be read ({error})") from error
    columns = rows[0].keys() if rows else set()
    if "label" not in columns or not {"request_id", "sha256"} & set(columns):
        raise UserError(f"--labels {table}: needs the columns label and request_id (with row), or label and sha256")
    by_row, by_digest = {}, {}
    for number, row in enumerate(rows, 2):
        if not row["label"]:
            continue  # nobody knows it yet
        if row.get("request_id"):
            if not (index := row.get("row") or "0").isdigit():
                raise UserError(f"--labels {table} line {number}: row '{index}' is not an integer >= 0")
            by_row[row["request_id"], int(index)] = row["label"]
        elif row.get("sha256"):
            by_digest[row["sha256"]] = row["label"]
    return LaterLabels(by_row, by_digest, is_fair=True)


def labels_from_corrections(root: Path) -> LaterLabels:
    """What people kept or corrected in feedback/labels.csv: mostly images that the model got wrong."""
    found = decided(root).values()
    return LaterLabels({}, {one.sha256: one.label for one in found if one.label and one.action != "remove"}, False)


def live_accuracy(rows: pa.Table, labels: LaterLabels, block: int) -> Accuracy | None:
    """Over those rows that have a label; None if none has. Neighbours in a block count as one in the interval."""
    keys = zip(*(rows[name].to_pylist() for name in ("request_id", "row", "sha256")), strict=True)
    truth = [labels.by_row.get((request, row), labels.by_digest.get(digest)) for request, row, digest in keys]
    known = [index for index, label in enumerate(truth) if label is not None]
    if not known:
        return None
    predicted = rows["label"].to_pylist()
    right = np.array([predicted[index] == truth[index] for index in known])
    low, high = share_interval(right, np.array(known) // block, LEVEL, SEED)
    return Accuracy(len(known), float(right.mean()), low, high, labels.is_fair)


def said_of(accuracy: Accuracy, scores: dict[str, float]) -> str:
    """Live accuracy beside the test score, in one line."""
    interval = f" ({accuracy.low:.3f} to {accuracy.high:.3f})" if accuracy.low is not None else ""
    line = f"live accuracy {accuracy.value:.3f}{interval} of {accuracy.images} labelled"
    if "test_accuracy" in scores:
        ends = [scores.get(f"test_accuracy_{end}") for end in ("low", "high")]
        line += f"; test {scores['test_accuracy']:.3f}"
        line += f" ({ends[0]:.3f} to {ends[1]:.3f})" if None not in ends else ""
    if not accuracy.is_fair:
        line += f"; from {CORRECTIONS}, which holds mostly what was wrong: the true figure is higher"
    return line


def is_worse(accuracy: Accuracy, scores: dict[str, float]) -> bool:
    """Whether the whole interval of live accuracy lies below that of the test score."""
    low = scores.get("test_accuracy_low")
    return accuracy.is_fair and accuracy.high is not None and low is not None and accuracy.high < low
