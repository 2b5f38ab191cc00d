"""train: fit the model on train, keep the best epoch on val, report live to MLflow."""

from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path

import safetensors.torch
import torch

from vit.config.files import (
    CHECKPOINTS,
    ENVIRONMENT,
    FEATURES,
    FIRST_BATCH,
    HISTORY,
    INIT,
    LEARNING_RATE,
    MODEL,
    PACKED,
    PREPROCESSING,
    PRETRAINED,
    RAW,
    SPLITS,
    TEACHER,
    TRAIN_METRICS,
    TRAINING,
)
from vit.config.params_file import load_params
from vit.data.decoded import Part, load_part
from vit.data.shards.streamed import Streamed
from vit.errors import run_program
from vit.files import project_root, read_json, replacing, write_json, write_table
from vit.inference.classifier import Classifier
from vit.inference.neighbours import neighbours_accuracy
from vit.inference.scores import COLUMNS
from vit.tracking.content import describe_run
from vit.tracking.environment import environment
from vit.tracking.layers import show_layers
from vit.tracking.live import LiveRun
from vit.tracking.progress import ProgressFile, begun
from vit.training.balance import class_weights
from vit.training.checkpoint import Checkpoints, Progress
from vit.training.device import apply, choose, find_device, for_a_head
from vit.training.distillation import Teacher, student_settings
from vit.training.distributed import World
from vit.training.feed import Feed, first_batch
from vit.training.initial import initialize, start_of
from vit.training.loop import evaluate, fit, note_nothing, rates_of, steps_per_epoch
from vit.training.optim import learning_rate
from vit.training.probe import FeatureFeed, probe
from vit.training.step import TrainingStep
from vit.training.temperature import temperature_on

CACHE_SHARES = {"train": 7 / 8, "val": 1 / 8}
UNTRAINED = {
    "zero_shot_val_accuracy": "zero-shot, before training",
    "knn_val_accuracy": "nearest neighbours on the same features",
}


def main() -> None:
    """Train or resume, alone or as one of several processes; the first process writes the outputs."""
    params, world = load_params(), World.from_environment()
    preprocessing = read_json(PACKED / PREPROCESSING)
    compute, why = choose(params.train, params.model, preprocessing["image_size"], world)
    if params.train.frozen_layers == "all":
        compute, why = for_a_head(compute, params.train)
    apply(compute)
    config = {**preprocessing, "model": student_settings(params.model, params.train), "compute": asdict(compute)}
    torch.manual_seed(params.train.seed)
    device = find_device(params.train.device, world.local_rank)
    classifier = Classifier.new(config, device)
    start = start_of(PRETRAINED, INIT)
    changes = initialize(classifier, start)
    teacher = None if params.train.distillation == "none" else Teacher.load(TEACHER, classifier)
    cache = 1e9 * params.train.cache_gb
    train, val = (
        load_part(PACKED, part, RAW, SPLITS, share * cache, world.size) for part, share in CACHE_SHARES.items()
    )
    weights = class_weights(train.labels, len(classifier.classes), params.train.class_weights)
    weights = None if weights is None else weights.to(device)
    if params.train.frozen_layers == "all":
        feed = probe(classifier, train, val, params.train, world, FEATURES)
        val = feed.val
    else:
        feed = Feed(classifier, train.on_device(device), params.train, world)
    beside = {}
    if params.train.init_head == "text" and world.is_first:  # the head still knows only the class names
        zero_shot = evaluate(feed.classifier, val, 4 * params.train.batch_size, World())
        beside["zero_shot_val_accuracy"] = zero_shot.accuracy
    description = describe_run(params, asdict(compute))
    checkpoints = Checkpoints(project_root() / CHECKPOINTS / description.content_key)

    with ExitStack() as stack:
        file: ProgressFile | None = None
        if world.is_first:
            size = f"{classifier.parameter_count / 1e6:.2f} M parameters"
            print(f"{len(train)} images, {params.model.name} of {size}, {compute} ({why})")
            if isinstance(train, Streamed):
                print(f"shards in {train.store}: {train.mixing(params.train.batch_size)}")
            show_layers(config)
            if changes:
                print(f"started from {params.train.init_from if start == INIT else start}: {'; '.join(changes)}")
            if teacher is not None:
                teacher.introduce(params.train)
            stack.enter_context(checkpoints.claimed())
            write_json(checkpoints.folder / ENVIRONMENT, environment(compute.device))
            file = stack.enter_context(new_progress_file(checkpoints.folder, begun(params, description.name), feed))
            live = stack.enter_context(LiveRun(description))
        stack.enter_context(world.joined(device))
        step = TrainingStep(feed.classifier.model, feed.train, compute, world, teacher, weights)
        progress = checkpoints.restore(step)
        if file is not None:
            file.start(progress)

        def show(progress: Progress) -> None:
            if file is not None:
                file.epoch(progress)
                live.show(progress.history, rates_of(progress, feed), progress.clock)

        fit(step, feed, val, progress, checkpoints, show, note_nothing if file is None else file.step)
        if world.is_first:
            if isinstance(feed, FeatureFeed):
                save_with_head(classifier, feed, progress.best_weights)
                beside["knn_val_accuracy"] = neighbours_accuracy(feed.versions[0], feed.val)
            else:
                save_calibrated(config, device, progress.best_weights, val, params.train.batch_size)
            write_outputs(progress, feed, beside)


def new_progress_file(folder: Path, record: dict, feed: Feed) -> ProgressFile:
    """The file that says how far this training is, for those who watch it."""
    train, classifier = feed.train, feed.classifier
    per_epoch = steps_per_epoch(len(feed.part), train.batch_size)
    record |= {
        "config": classifier.config,
        "parameters": classifier.parameter_count,
        "images": len(feed.part),
        "processes": feed.world.size,
        "batch_size": train.batch_size,
        "steps_per_epoch": per_epoch,
        "epochs": train.epochs,
        "steps": train.epochs * per_epoch,
    }
    rate = partial(learning_rate, steps_per_epoch=per_epoch, train=train)
    record["learning_rates"] = [rate(epoch * per_epoch - 1) for epoch in range(1, train.epochs + 1)]
    return ProgressFile(folder, record, rate)


def save_calibrated(config: dict, device: torch.device, weights: dict, val: Part, batch_size: int) -> None:
    """Write the model of the best epoch, with the temperature fitted on val."""
    classifier = Classifier.new(config, device)  # the trained one may be sharded over processes
    classifier.model.load_state_dict(weights)
    config["temperature"] = temperature_on(val, classifier, 4 * batch_size)
    classifier.save(MODEL, weights)


def save_with_head(whole: Classifier, feed: FeatureFeed, weights: dict) -> None:
    """Write the whole model with the head of the best epoch, and the temperature fitted on the features of val."""
    feed.classifier.model.load_state_dict(weights)  # shared with `whole`
    whole.config["temperature"] = temperature_on(feed.val, feed.classifier, 4 * feed.train.batch_size)
    state = whole.model.state_dict().items()
    whole.save(MODEL, {name: weight.cpu().clone(memory_format=torch.contiguous_format) for name, weight in state})


def write_outputs(progress: Progress, feed: Feed, beside: dict[str, float]) -> None:
    """Write curves and first batch as data, which `evaluate` draws, and the metrics of the best epoch.

    `beside` holds the val accuracies of what was not trained: zero-shot, nearest neighbours on the same features.
    """
    rates = rates_of(progress, feed)
    write_table(TRAINING / HISTORY, progress.history)
    write_table(TRAINING / LEARNING_RATE, [{"step": i, "learning_rate": rate} for i, rate in enumerate(rates)])
    with replacing(TRAINING / FIRST_BATCH) as temporary:
        safetensors.torch.save_file(first_batch(feed), temporary)
    write_json(TRAIN_METRICS, summary(progress) | beside)
    column = COLUMNS[progress.select_by]
    others = "" if column == "val_accuracy" else f", {column.replace('_', ' ')} {progress.best[column]:.4f}"
    others += "".join(f"; {UNTRAINED[name]} {value:.4f}" for name, value in beside.items())
    print(f"best epoch {progress.best['epoch']}: val accuracy {progress.best['val_accuracy']:.4f}{others}")


def summary(progress: Progress) -> dict:
    """The best epoch's metrics, under names that differ from the curves in MLflow."""
    names = dict.fromkeys(("epoch", "val_accuracy", "val_loss", COLUMNS[progress.select_by]))
    return {f"best_{name}": progress.best[name] for name in names}


if __name__ == "__main__":
    run_program(main)
