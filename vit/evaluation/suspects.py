"""Suspected label errors: confident learning (Northcutt et al. 2021, https://arxiv.org/abs/1911.00068), by cleanlab."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vit.data.images import load_image, settings_of
from vit.errors import UserError
from vit.evaluation.plots import contact_sheet
from vit.files import read_json

SHOWN = 64


@dataclass(frozen=True)
class Suspicion:
    """What the probabilities say about each label; all arrays (N,), in the order of the images.

    `score` lies in [0, 1]; the lower, the more likely the label is wrong. `suspected` marks the images that confident
    learning assigns to another class. `other` is the most probable class beside the label.
    """

    score: np.ndarray
    suspected: np.ndarray
    other: np.ndarray

    def ranking(self, top: int | None = None) -> np.ndarray:
        """Indices of the suspected images, or of the `top` images with the lowest scores, lowest score first."""
        order = np.argsort(self.score, kind="stable")
        return order[self.suspected[order]] if top is None else order[:top]


def find_suspects(labels: np.ndarray, probabilities: np.ndarray) -> Suspicion:
    """Judge labels (N,) by probabilities (N, K) of models that were not trained on these images.

    A class's threshold is the mean probability of the class over the images labelled so; an image is suspected if
    another class reaches its threshold and is predicted. Scores are normalized margins after subtracting the
    thresholds, so that a class that the models are less sure of is not suspected more. Raises UserError if cleanlab is
    not installed.
    """
    try:
        from cleanlab.filter import find_label_issues
        from cleanlab.rank import get_label_quality_scores
    except ImportError as error:
        raise UserError(
            "this needs the package cleanlab; run `pip install --requirement requirements-labels.txt`"
        ) from error
    others = probabilities.copy()
    others[np.arange(len(labels)), labels] = -1
    return Suspicion(
        score=get_label_quality_scores(labels, probabilities, method="normalized_margin", adjust_pred_probs=True),
        suspected=find_label_issues(labels, probabilities, filter_by="confident_learning", n_jobs=1),
        other=others.argmax(axis=1),
    )


def suspects_sheet(path: Path, rows: list[dict], raw: Path, preprocessing: Path) -> None:
    """Draw the first SHOWN of `rows`, each with label and suggestion, from files below `raw`, as they were packed.

    Raises UserError if the files are missing or are not those of the list.
    """
    shown = rows[:SHOWN]
    for row in shown:
        file = raw / row["path"]
        if not file.is_file() or hashlib.sha256(file.read_bytes()).hexdigest() != row["sha256"]:
            raise UserError(
                f"the list is complete, but there is no contact sheet: {file} is missing or is not the image of the "
                "run; restore the data with `dvc repro pack` and call this again"
            )
    if shown and not preprocessing.is_file():
        raise UserError(
            f"the list is complete, but there is no contact sheet: {preprocessing} is missing; run `dvc repro pack`"
        )
    settings = settings_of(read_json(preprocessing)) if shown else {}
    images = np.array([load_image(raw / row["path"], **settings) for row in shown]) / 255
    captions = [f"{row['label']}\n{row['suggested']}? ({row['p_suggested']:.0%})" for row in shown]
    contact_sheet(path, images, captions, none="no suspects")
