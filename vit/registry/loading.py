"""The classifier named on a command line, by default the champion."""

from vit.config.params_file import load_params
from vit.inference.classifier import Classifier
from vit.registry.gate import CHAMPION
from vit.registry.versions import downloaded


def load_classifier(model_uri: str | None) -> Classifier:
    """On the CPU. Raises UserError if there is no such model."""
    with downloaded(model_uri or f"models:/{load_params().register_.name}@{CHAMPION}") as folder:
        return Classifier.load(folder)
