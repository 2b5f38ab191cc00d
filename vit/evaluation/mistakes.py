"""The images that the model got wrong while it was surest, on one sheet."""

from pathlib import Path

import numpy as np

from vit.data.images import SETTINGS, load_image
from vit.evaluation.plots import contact_sheet
from vit.evaluation.predictions import Answers

SHOWN = 32


def most_confident_mistakes(answers: Answers) -> np.ndarray:
    """At most SHOWN indices of images with a wrong answer, the surest first, equally sure ones in their order."""
    wrong = np.flatnonzero(~answers.correct)
    return wrong[np.argsort(-answers.confidences[wrong], kind="stable")][:SHOWN]


def mistakes_sheet(path: Path, answers: Answers, raw: Path, config: dict) -> None:
    """Draw them as the model of `config` sees them, from files below `raw`: true class, answer and its confidence."""
    chosen = most_confident_mistakes(answers)
    settings = {name: config[name] for name in SETTINGS}
    images = np.array([load_image(raw / answers.rows[index].path, **settings) for index in chosen]) / 255
    captions = [
        f"{answers.rows[index].label}\nas {answers.classes[answers.predictions[index]]} "
        f"({answers.confidences[index]:.0%})"
        for index in chosen
    ]
    contact_sheet(path, images, captions)
