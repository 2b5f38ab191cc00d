"""What a training will take, from a few real steps of it: time, memory, and the size of the model."""

import math
import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path

import torch

from vit.checks import pretraining
from vit.checks.answer import Clock
from vit.checks.project import require_current
from vit.checks.subject import Subject
from vit.config.files import DVC_LOCK, PACKED, PREPROCESSING, RAW_RECORD, SPLITS, UNLABELLED
from vit.config.params_file import read_yaml
from vit.config.schema import Params
from vit.data.batches import Packed
from vit.data.images import SETTINGS, packed_size
from vit.errors import UserError
from vit.files import iterate_table, read_json
from vit.inference.complexity import cost_of
from vit.inference.summary import model_summary
from vit.training.device import apply, choose
from vit.training.distributed import World
from vit.training.feed import Feed

WARM_UP, FEWEST, MOST = 2, 3, 100  # steps
ENOUGH = 2.0  # seconds of measured steps
BUILT_IN = {
    "digits": lambda data: (1797, 10),
    "shapes": lambda data: (4 * data.shapes_per_class, 4),
}


@dataclass(frozen=True)
class Images:
    """The images of a training: train and val images and classes, and where the numbers come from."""

    train: int
    val: int
    classes: int
    origin: str


@dataclass(frozen=True)
class Estimate:
    """What a training takes on this machine, and its model.

    `minutes` are for all epochs with their validation, and for `pretraining` before them, None if the number of images
    is not known yet. `memory` is the largest amount that the process held, in bytes, and `device_memory` that on an
    accelerator.
    """

    parameters: int
    multiply_adds: int
    summary: str
    compute: str
    epochs: int
    train_images: int | None
    val_images: int | None
    images_from: str
    images_per_second: float
    val_images_per_second: float
    minutes: float | None
    pretraining: pretraining.Pretraining | None
    memory: int
    device_memory: int | None
    left_out: list[str]


def estimate(params: Params) -> Estimate:
    """Measure some steps of the training that `params` describe, on images of noise.

    Raises UserError if the device is not available or the model cannot be trained.
    """
    images = expected_images(params)
    subject = _subject(params, images)
    train = subject.train()
    classifier = subject.new_classifier(train)
    step = subject.new_step(classifier, train)
    feed = Feed(classifier, subject.sample.on_device(classifier.device), train, World())
    speed = _images_per_second(_steps(feed, step))
    cropped = subject.cropped(subject.sample)
    batch = cropped.images.repeat(math.ceil(4 * train.batch_size / len(cropped)), 1, 1, 1)[: 4 * train.batch_size]
    val_speed = _images_per_second(len(classifier.logits(batch)) for _ in count())
    before = _pretraining(subject, images)
    cost = cost_of(classifier.config)
    on_device = classifier.device.type == "cuda"
    return Estimate(
        parameters=cost.parameters,
        multiply_adds=cost.multiply_adds,
        summary=model_summary(classifier.config),
        compute=str(subject.compute),
        epochs=train.epochs,
        train_images=images.train if images else None,
        val_images=images.val if images else None,
        images_from=images.origin if images else "unknown before `dvc repro pack`",
        images_per_second=speed,
        val_images_per_second=val_speed,
        minutes=_minutes(params, images, speed, val_speed, before),
        pretraining=before,
        memory=_peak(),
        device_memory=torch.cuda.max_memory_allocated(classifier.device) if on_device else None,
        left_out=list(_left_out(params)),
    )


def _pretraining(subject: Subject, images: Images | None) -> pretraining.Pretraining | None:
    """None if it is off or what it would learn from is not there yet."""
    epochs, unlabelled = subject.params.pretrain.epochs, pretraining.unlabelled_images()
    if not epochs or not unlabelled or images is None:
        return None
    speed = _images_per_second(pretraining.steps(subject))
    return pretraining.Pretraining(epochs, unlabelled, speed, epochs * (unlabelled + images.train) / speed / 60)


def _minutes(
    params: Params, images: Images | None, speed: float, val_speed: float, before: pretraining.Pretraining | None
) -> float | None:
    if images is None:
        return None
    minutes = params.train.epochs * (images.train / speed + images.val / val_speed) / 60
    return minutes + (before.minutes if before else 0.0)


def _left_out(params: Params) -> Iterator[str]:
    train = params.train
    if params.pretrain.epochs and not pretraining.unlabelled_images():
        yield f"pretraining, because {UNLABELLED}/ holds no images"
    if train.teacher is not None:
        yield "the teacher's predictions"
    if train.compile:
        yield "compiling, and what it gains"
    if train.launcher != "python":
        yield "the other processes of train.launcher"
    if params.pack.mode == "none":
        yield "decoding images in every epoch (pack.mode none)"
    if train.patience is not None:
        yield "early stopping (train.patience)"


def expected_images(params: Params) -> Images | None:
    """From the packed images if they are those of `params`, else from what was downloaded or is built in."""
    try:
        require_current(params)
        rows = {part: sum(1 for _ in iterate_table(SPLITS / f"{part}.csv")) for part in ("train", "val")}
        classes = len(read_json(PACKED / PREPROCESSING)["classes"])
        return Images(rows["train"], rows["val"], classes, "the packed images")
    except (UserError, OSError):
        found = _downloaded(params) or BUILT_IN.get(params.data.source, lambda data: None)(params.data)
    if found is None:
        return None
    total, classes = found
    split = params.split
    test = split.test_fraction if split.folds is None else 1 / split.folds
    train = round(total * (1 - split.val_fraction - test))
    if split.subset_per_class is not None:
        train = min(train, split.subset_per_class * classes)
    return Images(max(1, train), max(1, round(total * split.val_fraction)), classes, "about, by the fractions of split")


def _downloaded(params: Params) -> tuple[int, int] | None:
    """Images and classes in data/raw, if it was made with these parameters."""
    if not (RAW_RECORD.is_file() and DVC_LOCK.is_file()):
        return None
    locked = read_yaml(DVC_LOCK).get("stages", {}).get("download", {}).get("params", {}).get("params.yaml", {})
    if locked.get("data") != params.data.model_dump():
        return None
    record = read_json(RAW_RECORD)
    return record["images"], len(record["classes"])


def _subject(params: Params, images: Images | None) -> Subject:
    """The training on noise, whose pixels take as long as any others."""
    pack, train = params.pack, params.train
    compute, _ = choose(train, params.model, pack.image_size, World())
    apply(compute)
    classes = images.classes if images else 10
    whole = images.train if images else train.batch_size
    held = min(whole, 4 * train.batch_size)
    size = packed_size(pack.image_size, pack.margin)
    noise = torch.randint(0, 256, (held, *size, pack.channels), dtype=torch.uint8)
    sample = Packed(noise, torch.arange(held) % classes)
    config = {name: getattr(pack, name) for name in SETTINGS} | {
        "classes": [str(number) for number in range(classes)],
        "mean": [0.5] * pack.channels,
        "std": [0.25] * pack.channels,
        "compute": asdict(compute),
    }
    alone = params.model_copy(update={"train": train.model_copy(update={"teacher": None, "distillation": "none"})})
    return Subject(alone, config, compute, sample, [], held, Path(), Clock(math.inf))


def _steps(feed: Feed, step) -> Iterator[int]:
    """Images of each step, without an end."""
    for epoch in count():
        for images, micro_batches in feed.epoch(epoch):
            step.set_training()
            step(micro_batches, images, 0.0).tolist()  # waits for an accelerator
            yield images


def _images_per_second(batches: Iterator[int]) -> float:
    """Of batches, each given as its number of images; the first ones only warm up."""
    for _ in range(WARM_UP):
        next(batches)
    began, images = time.perf_counter(), 0
    for done in range(1, MOST + 1):
        images += next(batches)
        seconds = time.perf_counter() - began
        if done >= FEWEST and seconds >= ENOUGH:
            break
    return images / seconds


def _peak() -> int:
    """Bytes of memory that this process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
