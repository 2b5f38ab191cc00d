"""The shapes data set in memory, and small untrained classifiers for it."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from tests.presets import preset
from vit.config.schema import Params
from vit.data.batches import Packed
from vit.data.decoded import Part
from vit.data.images import SETTINGS, load_image
from vit.data.manifest import list_images
from vit.data.pack import channel_statistics
from vit.data.sources.shapes import fetch_shapes
from vit.inference.classifier import Classifier
from vit.training.checkpoint import Checkpoints, Progress
from vit.training.device import choose
from vit.training.distillation import Teacher, student_settings
from vit.training.distributed import World
from vit.training.feed import Feed
from vit.training.loop import fit
from vit.training.step import TrainingStep

CLASSES = ["checkerboard", "diagonal_gradient", "horizontal_bars", "vertical_bars"]


def shapes(folder: Path, per_class: int, seed: int = 0) -> Packed:
    """Packed shapes, class after class, drawn to files in `folder` first."""
    data = preset(folder, "shapes", {"data.shapes_per_class": per_class, "data.seed": seed}).data
    raw = folder / f"raw{seed}"
    fetch_shapes(data, raw, raw)
    rows = list_images(raw)
    images = np.stack([load_image(raw / row.path, (8, 8), 1, "crop") for row in rows])
    return Packed(torch.from_numpy(images), torch.tensor([CLASSES.index(row.label) for row in rows]))


def untrained(params: Params, part: Packed) -> Classifier:
    """A new classifier for `part`; its weights depend on train.seed alone."""
    pack, (compute, _) = params.pack, choose(params.train, params.model, params.pack.image_size, World())
    config = {
        "classes": CLASSES,
        **pack.model_dump(include=set(SETTINGS)),
        **channel_statistics(part.images.numpy()),
        "model": student_settings(params.model, params.train),
        "compute": asdict(compute),
    }
    torch.manual_seed(params.train.seed)
    return Classifier.new(config, torch.device(compute.device))


class Training:
    """A training as the stage runs it, with its checkpoints in `folder`, begun or gone on with."""

    def __init__(
        self,
        params: Params,
        parts: tuple[Part, Part],
        folder: Path,
        classifier: Classifier | None = None,
        teacher: Path | None = None,
        world: World | None = None,
    ):
        self.classifier, world = classifier or untrained(params, parts[0]), world or World()
        compute, _ = choose(params.train, params.model, params.pack.image_size, world)
        self.feed = Feed(self.classifier, parts[0].on_device(self.classifier.device), params.train, world)
        asked = None if teacher is None else Teacher.load(teacher, self.classifier)
        self.step = TrainingStep(self.classifier.model, params.train, compute, world, asked)
        self.val_part = parts[1]
        self.checkpoints = Checkpoints(folder)
        folder.mkdir(exist_ok=True)
        self.progress = self.checkpoints.restore(self.step)
        self.shown: list[int] = []

    def run(self, show: Callable[[Progress], None] | None = None) -> "Training":
        fit(self.step, self.feed, self.val_part, self.progress, self.checkpoints, show or self._note)
        return self

    def _note(self, progress: Progress) -> None:
        self.shown.append(progress.steps)
