"""pretrain: for `pretrain.epochs` above 0, train the encoder on images without labels; else nothing."""

import os
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from vit.config.files import (
    CHECKPOINTS,
    CONFIG,
    INIT,
    LEFT_OUT,
    PACKED,
    PREPROCESSING,
    PRETRAINED,
    PRETRAINING_RECORD,
    RAW,
    RAW_RECORD,
    SPLITS,
    UNLABELLED,
    WEIGHTS,
    WEIGHTS_RECORD,
)
from vit.config.params_file import load_params
from vit.config.schema import Params
from vit.errors import run_program
from vit.files import project_root, read_json, replacing_folder, sha256_of, temporary_folder, write_json, write_table

if TYPE_CHECKING:
    from vit.tracking.progress import ProgressFile
    from vit.training.checkpoint import Checkpoints


def main() -> None:
    """Run the stage; the old folder stays until the new one is complete."""
    params = load_params()
    with replacing_folder(PRETRAINED) as folder:
        # DVC warns about an empty folder at every command.
        (folder / "README.txt").write_text(
            "Weights pretrained on images without labels; only this file if pretrain.epochs is 0.\n", encoding="utf-8"
        )
        checkpoints = store(params, folder) if params.pretrain.epochs else None
    if checkpoints is None:
        print("none: pretrain.epochs is 0")
    else:
        checkpoints.remove()


def store(params: Params, folder: Path) -> "Checkpoints":
    """Write the pretrained weights to `folder`; returns the checkpoints, which are no longer needed once it is kept."""
    # Late: torch takes seconds to import and is rarely needed.
    import safetensors.torch
    import torch

    from vit.data.decoded import load_part
    from vit.data.joined import Joined
    from vit.data.unlabelled import find_unlabelled, read_unlabelled
    from vit.inference.classifier import Classifier
    from vit.tracking.content import pretraining_key
    from vit.training.checkpoint import Checkpoints
    from vit.training.device import apply, choose, find_device
    from vit.training.distributed import World
    from vit.training.initial import initialize
    from vit.training.pretraining import PretrainingStep, pretrain

    preprocessing = read_json(PACKED / PREPROCESSING)
    images = find_unlabelled(UNLABELLED, RAW, SPLITS, preprocessing)
    write_table(folder / LEFT_OUT, images.left_out, ["path", "reason", "detail"])
    compute, why = choose(params.train, params.model, preprocessing["image_size"], World())
    compute = replace(compute, compile=False)
    apply(compute)
    config = {**preprocessing, "model": params.model.model_dump(), "compute": asdict(compute)}
    torch.manual_seed(params.train.seed)
    classifier = Classifier.new(config, find_device(params.train.device))
    initialize(classifier, INIT)
    train = load_part(PACKED, "train", RAW, SPLITS)
    counts = f"{len(images.rows)} images without labels and {len(train)} of train"
    left_out = ", ".join(f"{count} {reason}" for reason, count in images.counts().items() if count)
    print(f"{counts} ({left_out or 'none'} left out), {compute} ({why})")

    key = pretraining_key(params, asdict(compute), images.digests.tobytes())
    checkpoints = Checkpoints(project_root() / CHECKPOINTS / key)
    with temporary_folder(folder.with_name("unlabelled")) as temporary, checkpoints.claimed():
        part = Joined(read_unlabelled(images, UNLABELLED, PACKED, temporary), train)
        step = PretrainingStep(classifier, params.pretrain, compute)
        progress = checkpoints.restore(step)
        with new_progress_file(checkpoints.folder, params, key, len(part)) as file:
            file.start(progress)
            pretrain(
                step, classifier, part, params.pretrain, params.train, progress, checkpoints, file.epoch, file.step
            )
    safetensors.torch.save_file(step.weights(), folder / WEIGHTS)
    known = {name: config[name] for name in ("image_size", "channels", "model")}
    write_json(folder / CONFIG, known | {"classes": []})  # the head is left out
    record = {
        "method": "masked autoencoding",
        "sha256": sha256_of(folder / WEIGHTS),
        "unlabelled_images": len(images.rows),
        "train_images": len(train),
        "left_out": images.counts(),
        "epochs": params.pretrain.epochs,
        "loss": progress.history[-1]["train_loss"],
        "started_from": (read_json(WEIGHTS_RECORD)["init"] or {}).get("source"),
    }
    write_json(folder / PRETRAINING_RECORD, record)
    print(f"pretrained on {counts} for {record['epochs']} epochs: loss {record['loss']:.4f}")
    return checkpoints


def new_progress_file(folder: Path, params: Params, key: str, images: int) -> "ProgressFile":
    """The file that says how far this pretraining is, for those who watch it."""
    from vit.tracking.progress import PRETRAINING, ProgressFile, begun
    from vit.training.loop import steps_per_epoch
    from vit.training.optim import learning_rate
    from vit.training.pretraining import schedule_of

    settings = params.pretrain
    per_epoch = steps_per_epoch(images, settings.batch_size)
    name = os.environ.get("DVC_EXP_NAME") or f"{read_json(RAW_RECORD)['source']}-{key[:7]}"
    record = begun(params, name) | PRETRAINING
    record |= {
        "images": images,
        "processes": 1,
        "batch_size": settings.batch_size,
        "steps_per_epoch": per_epoch,
        "epochs": settings.epochs,
        "steps": settings.epochs * per_epoch,
    }
    return ProgressFile(folder, record, partial(learning_rate, steps_per_epoch=per_epoch, train=schedule_of(settings)))


if __name__ == "__main__":
    run_program(main)
