"""evaluate: evaluate the trained model on the test split, and compare it with baselines without a neural network."""

import numpy as np
import safetensors.numpy

from vit.config.files import (
    EVALUATION,
    FEATURES,
    FIRST_BATCH,
    HISTORY,
    LEARNING_RATE,
    MODEL,
    MODEL_SUMMARY,
    PACKED,
    PREDICTIONS,
    RAW,
    SPLIT_METRICS,
    SPLITS,
    TABLES,
    TEST_METRICS,
    TRAIN_METRICS,
    TRAINING,
    VAL_PREDICTIONS,
    VAL_SAMPLE,
)
from vit.config.params_file import load_params
from vit.data.decoded import Part, load_part
from vit.data.images import centre_crop
from vit.data.majority import majority_accuracy
from vit.data.manifest import PARTS, read_rows
from vit.errors import run_program
from vit.evaluation.calibration import reliability_rows
from vit.evaluation.explain_figures import explain_figures
from vit.evaluation.invariance import INVARIANCE_COLUMNS, changes_of, invariance_rows
from vit.evaluation.metrics import headline
from vit.evaluation.mistakes import mistakes_sheet
from vit.evaluation.plots import batch_grid, confusion_figure, reliability_figure, training_curves
from vit.evaluation.predictions import Predictions, predict
from vit.evaluation.references import svc_accuracy
from vit.evaluation.slices import QUESTION_COLUMNS, SLICE_COLUMNS, question_rows, slice_rows, slice_values
from vit.evaluation.tables import confusion, confusion_rows, per_class, prediction_rows, rates
from vit.evaluation.val_sample import write_val_sample
from vit.files import read_json, read_table, write_json, write_table, write_text
from vit.inference.classifier import Classifier
from vit.inference.features import features_of, has_features, stored_versions
from vit.inference.neighbours import neighbours_accuracy
from vit.inference.summary import model_summary
from vit.training.device import find_device


def main() -> None:
    """Predict val and test; write test metrics, all predictions, and tables and figures of model and training."""
    params = load_params()
    settings = params.evaluate
    classifier = Classifier.load(MODEL, find_device(settings.device))
    train, val, test = (load_part(PACKED, part, RAW, SPLITS) for part in PARTS)
    rows = {part: read_rows(SPLITS / f"{part}.csv") for part in PARTS}
    predictions, changed = predict(classifier, test, rows["test"], settings.batch_size, changes_of(settings.invariance))
    val_predictions, _ = predict(classifier, val, rows["val"], settings.batch_size)

    metrics = headline(predictions, settings)
    metrics["majority_accuracy"] = majority_accuracy(train.labels.numpy(), predictions.labels)
    if settings.svc_baseline:
        size = classifier.config["image_size"]
        arrays = [(whole(part, size, settings.batch_size), part.labels.numpy()) for part in (train, test)]
        metrics["svc_accuracy"] = svc_accuracy(*arrays)
    if has_features(FEATURES):
        known = stored_versions(FEATURES, "train", train.labels)[0]
        metrics["knn_accuracy"] = neighbours_accuracy(known, features_of(classifier, test, settings.batch_size))
    write_json(TEST_METRICS, metrics)
    write_text(EVALUATION / MODEL_SUMMARY, model_summary(classifier.config))

    write_table(EVALUATION / PREDICTIONS, prediction_rows(predictions))
    write_table(EVALUATION / VAL_PREDICTIONS, prediction_rows(val_predictions))
    write_val_sample(EVALUATION / VAL_SAMPLE, classifier, val, rows["val"], RAW)
    write_table(EVALUATION / "per_class.csv", per_class(predictions))
    write_confusion(predictions)
    write_reliability(predictions, settings.ece_bins)
    images = [row for part in PARTS for row in rows[part]]
    slices = {name: slice_values(name, rows["test"], images, TABLES) for name in settings.slices}
    write_table(EVALUATION / "slices.csv", slice_rows(predictions, slices, settings), SLICE_COLUMNS)
    write_table(EVALUATION / "questions.csv", question_rows(predictions, settings), QUESTION_COLUMNS)
    write_table(EVALUATION / "invariance.csv", invariance_rows(predictions, changed, settings), INVARIANCE_COLUMNS)
    mistakes_sheet(EVALUATION / "mistakes.png", predictions, RAW, classifier.config)
    draw_training(classifier.classes)
    explain_figures(EVALUATION / "explain", classifier, test, predictions.probabilities, settings.explain_images)
    print(summary(metrics | read_json(SPLIT_METRICS), len(test)))


def whole(part: Part, image_size: list[int], batch_size: int) -> np.ndarray:
    """All images of a split in one array uint8 (N, H, W, C), without the margin of train images."""
    return np.concatenate([centre_crop(images, image_size).numpy() for images, _ in part.in_order(batch_size)])


def draw_training(classes: list[str]) -> None:
    """Draw the training curves and the first batch, from the data written by `train`."""
    history = [{name: float(value) for name, value in row.items()} for row in read_table(TRAINING / HISTORY)]
    rates = [float(row["learning_rate"]) for row in read_table(TRAINING / LEARNING_RATE)]
    best = read_json(TRAIN_METRICS)["best_epoch"]
    training_curves(EVALUATION / "training_curves.png", history, best, rates)
    batch = safetensors.numpy.load_file(TRAINING / FIRST_BATCH)
    batch_grid(EVALUATION / "batch.png", batch["images"], batch["shares"], classes)


def write_confusion(predictions: Predictions) -> None:
    counts = confusion(predictions)
    confusion_figure(EVALUATION / "confusion_matrix.png", counts, predictions.classes)
    write_table(EVALUATION / "confusion_matrix.csv", confusion_rows(counts, predictions.classes))
    write_table(EVALUATION / "confusion_rates.csv", confusion_rows(rates(counts), predictions.classes))


def write_reliability(predictions: Predictions, bins: int) -> None:
    kinds = {"temperature 1": predictions.uncalibrated, "fitted temperature": predictions.probabilities}
    tables = {name: reliability_rows(predictions.labels, probabilities, bins) for name, probabilities in kinds.items()}
    reliability_figure(EVALUATION / "reliability.png", tables)
    lines = [{"answers": name} | row for name, table in tables.items() for row in table]
    write_table(EVALUATION / "reliability.csv", lines)


def summary(metrics: dict[str, float], images: int) -> str:
    """The accuracy in one line, with its interval and the baselines."""
    low, high = metrics["test_accuracy_low"], metrics["test_accuracy_high"]
    beside = [("majority", "majority_accuracy"), ("nearest neighbour", "nearest_neighbour_accuracy")]
    beside += [("SVC", "svc_accuracy")] if "svc_accuracy" in metrics else []
    beside += [("nearest neighbours on features", "knn_accuracy")] if "knn_accuracy" in metrics else []
    others = ", ".join(f"{name} {metrics[key]:.4f}" for name, key in beside)
    return f"test accuracy {metrics['test_accuracy']:.4f} ({low:.4f} to {high:.4f}) on {images} images; {others}"


if __name__ == "__main__":
    run_program(main)
