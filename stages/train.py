"""train: fit the Vision Transformer on train, keep the epoch that is best on val, show it live in MLflow."""

from dataclasses import asdict
from pathlib import Path

import torch

from stages.content import describe_run
from vit.data.decoded import load_part
from vit.errors import run_program
from vit.evaluation.plots import batch_grid, training_curves
from vit.files import project_root, read_json, write_json, write_table
from vit.inference import Classifier
from vit.params import load_params
from vit.tracking.live import LiveRun
from vit.training import checkpoint
from vit.training.device import apply, choose
from vit.training.loop import first_batch, fit
from vit.training.optim import new_optimizer

RAW, SPLITS, PACKED = Path("data/raw"), Path("data/splits"), Path("data/packed")
OUT = Path("training")


def main() -> None:
    """Train, or go on after the last epoch of a training that was cut off; write weights, curves and metrics."""
    params = load_params()
    compute = choose(params.train, params.model)
    apply(compute)
    preprocessing = read_json(PACKED / "preprocessing.json")
    config = {**preprocessing, "model": params.model.model_dump(), "compute": asdict(compute)}
    torch.manual_seed(params.train.seed)
    classifier = Classifier.new(config, torch.device(compute.device))
    optimizer = new_optimizer(classifier.model, params.train)
    train, val = (load_part(PACKED, part, RAW, SPLITS) for part in ("train", "val"))
    print(
        f"{len(train)} images, {classifier.parameter_count / 1e6:.2f} M parameters, "
        f"{compute.device}, {compute.precision}, {compute.attention} attention, {compute.threads} threads"
    )

    description = describe_run(params, asdict(compute))
    unfinished = project_root() / "checkpoints" / f"{description.content_key}.pt"
    with checkpoint.claimed(unfinished), LiveRun(description) as live:
        progress = checkpoint.restore(unfinished, classifier.model, optimizer)

        def after_epoch(progress: checkpoint.Progress) -> None:
            checkpoint.save(unfinished, progress, classifier.model, optimizer)
            live.show(progress.history, progress.learning_rates, progress.clock)

        fit(classifier, optimizer, train, val, params.train, compute, progress, after_epoch)
        classifier.save(Path("model"), progress.best_weights)
        write_table(OUT / "history.csv", progress.history)
        write_table(
            OUT / "learning_rate.csv",
            [{"step": i, "learning_rate": lr} for i, lr in enumerate(progress.learning_rates)],
        )
        x, shares = first_batch(classifier, train, params.train)
        batch_grid(OUT / "batch.png", x.numpy(), shares.numpy(), classifier.classes)
        training_curves(OUT / "training_curves.png", progress.history, progress.learning_rates)
        write_json(Path("metrics/train.json"), summary(progress.best))
    print(f"best epoch {progress.best['epoch']}: val accuracy {progress.best['val_accuracy']:.4f}")


def summary(best: dict) -> dict:
    """The row of the best epoch, under names of their own beside the curves in MLflow."""
    return {f"best_{name}": best[name] for name in ("epoch", "val_accuracy", "val_loss")}


if __name__ == "__main__":
    run_program(main)
