"""A small project whose stages run in this process, for the pages that need images or a model but no pipeline."""

from pathlib import Path

import torch

from stages import download, split
from tests.presets import preset, write_preset
from tests.shapes import shapes, untrained
from vit.inference.classifier import Classifier

SHAPES = {"data.shapes_per_class": 12}


def draw_data(changes: dict[str, object] | None = None) -> None:
    """params.yaml of preset shapes, images and their split, in the current folder."""
    write_preset(Path("params.yaml"), "shapes", SHAPES | (changes or {}))
    download.main()
    split.main()


def write_model(folder: Path, changes: dict[str, object] | None = None) -> Classifier:
    """An untrained model for the shapes in the folder `model` of the current one; returns it as it is loaded."""
    classifier = untrained(preset(folder, "shapes", {"train.device": "cpu"} | (changes or {})), shapes(folder, 5))
    Path("model").mkdir(exist_ok=True)
    classifier.save(Path("model"), classifier.model.state_dict())
    torch.manual_seed(0)
    return Classifier.load(Path("model"))
