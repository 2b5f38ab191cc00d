"""The shapes data set in memory, and small untrained classifiers for it."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from tests.presets import preset
from vit.data.batches import Packed
from vit.data.images import SETTINGS, load_image
from vit.data.manifest import list_images
from vit.data.pack import channel_statistics
from vit.data.sources.embedded import write_shapes
from vit.inference import Classifier
from vit.params import Params
from vit.training.device import choose

CLASSES = ["checkerboard", "diagonal_gradient", "horizontal_bars", "vertical_bars"]


def shapes(folder: Path, per_class: int, seed: int = 0) -> Packed:
    """Packed shapes, class after class, drawn to files in `folder` first."""
    data = preset(folder, "shapes", {"data.shapes_per_class": per_class, "data.seed": seed}).data
    raw = folder / f"raw{seed}"
    write_shapes(data, raw)
    rows = list_images(raw)
    images = np.stack([load_image(raw / row.path, (8, 8), 1, "crop") for row in rows])
    return Packed(torch.from_numpy(images), torch.tensor([CLASSES.index(row.label) for row in rows]))


def untrained(params: Params, part: Packed) -> Classifier:
    """A new classifier for `part`; its weights depend on train.seed alone."""
    pack, compute = params.pack, choose(params.train, params.model)
    config = {
        "classes": CLASSES,
        **pack.model_dump(include=set(SETTINGS)),
        **channel_statistics(part.images.numpy()),
        "model": params.model.model_dump(),
        "compute": asdict(compute),
    }
    torch.manual_seed(params.train.seed)
    return Classifier.new(config, torch.device(compute.device))
