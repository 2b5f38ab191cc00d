"""The model's most confident mistakes, on one contact sheet."""

from pathlib import Path

import numpy as np

from vit.data.images import load_image, settings_of
from vit.evaluation.plots import contact_sheet
from vit.evaluation.predictions import Predictions

SHOWN = 32


def most_confident_mistakes(predictions: Predictions) -> np.ndarray:
    """At most SHOWN indices of incorrect predictions, most confident first; ties keep their order."""
    wrong = np.flatnonzero(~predictions.correct)
    return wrong[np.argsort(-predictions.confidences[wrong], kind="stable")][:SHOWN]


def mistakes_sheet(path: Path, predictions: Predictions, raw: Path, config: dict) -> None:
    """Draw them from files below `raw`, preprocessed as in `config`, with label, prediction and confidence."""
    chosen = most_confident_mistakes(predictions)
    settings = settings_of(config)
    images = np.array([load_image(raw / predictions.rows[index].path, **settings) for index in chosen]) / 255
    captions = [
        f"{predictions.rows[index].label}\nas {predictions.classes[predictions.predicted_labels[index]]} "
        f"({predictions.confidences[index]:.0%})"
        for index in chosen
    ]
    contact_sheet(path, images, captions)
