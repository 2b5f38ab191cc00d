"""How many epochs each model gets, so that all train for the same time: measured before, never by the clock within."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import torch

from benchmarks.rows import alternating
from vit.config.schema import Params
from vit.data.decoded import Part, load_part
from vit.files import read_json
from vit.inference.classifier import Classifier
from vit.training.device import apply, choose, find_device
from vit.training.distributed import World
from vit.training.feed import Feed
from vit.training.loop import evaluate, steps_per_epoch
from vit.training.step import TrainingStep


@dataclass(frozen=True)
class Probe:
    """How long it is measured: each model in every round, and so many of its optimizer steps in one."""

    rounds: int = 3
    steps: int = 8


def seconds_per_epoch(params: dict[str, Params], folder: Path, probe: Probe) -> dict[str, float]:
    """Seconds of an epoch, val included, of each of several parameters on the packed images in `folder`.

    By turns in one process; the median of the rounds.
    """
    parts = [
        load_part(folder / "data/packed", part, folder / "data/raw", folder / "data/splits")
        for part in ("train", "val")
    ]
    preprocessing = read_json(folder / "data/packed/preprocessing.json")
    epochs = {name: _epoch(one, preprocessing, *parts, probe.steps) for name, one in params.items()}
    for epoch in epochs.values():
        epoch()  # what comes only once
    return alternating(epochs, probe.rounds)


def _epoch(params: Params, preprocessing: dict, train: Part, val: Part, steps: int) -> Callable[[], float]:
    compute, _ = choose(params.train, params.model, params.pack.image_size, World())
    config = {**preprocessing, "model": params.model.model_dump(), "compute": asdict(compute)}
    classifier = Classifier.new(config, find_device(params.train.device))
    step = TrainingStep(classifier.model, params.train, compute, World())
    feed = Feed(classifier, train, params.train, World())
    per_epoch = steps_per_epoch(len(train), params.train.batch_size)

    def measured() -> float:
        apply(compute)
        classifier.model.train()
        began, sums, made = time.perf_counter(), [], 0
        for images, pieces in islice(feed.epoch(0), steps):
            sums.append(step(pieces, images, params.train.lr))
            made += 1
        torch.stack(sums).sum().item()  # an accelerator has then made them
        stepped = time.perf_counter()
        evaluate(classifier, val, 4 * params.train.batch_size, World())
        return (stepped - began) * per_epoch / made + time.perf_counter() - stepped

    return measured
