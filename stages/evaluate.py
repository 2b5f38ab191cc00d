"""evaluate: judge the trained model on the untouched test part, beside what a program without a ViT reaches there."""

from pathlib import Path

import numpy as np

from vit.baselines import majority_accuracy, svc_accuracy
from vit.data.decoded import Part, load_part
from vit.data.images import centre_crop
from vit.data.manifest import PARTS, read_rows
from vit.errors import run_program
from vit.evaluation.metrics import confusion, confusion_rows, headline, per_class, prediction_rows
from vit.evaluation.plots import confusion_figure
from vit.files import write_json, write_table
from vit.inference import Classifier
from vit.params import load_params
from vit.training.device import find_device

RAW, SPLITS, PACKED = Path("data/raw"), Path("data/splits"), Path("data/packed")
OUT = Path("evaluation")


def main() -> None:
    """Label the test part; write its metrics, the confusion matrix and every prediction, those of val beside them."""
    params = load_params()
    settings = params.evaluate
    classifier = Classifier.load(Path("model"), find_device(settings.device))
    train, val, test = (load_part(PACKED, part, RAW, SPLITS) for part in PARTS)
    probabilities = answers(classifier, test, settings.batch_size)
    labels, predictions = test.labels.numpy(), probabilities.argmax(axis=1)

    metrics = headline(labels, probabilities, settings.confidence_level)
    metrics["majority_accuracy"] = majority_accuracy(train.labels.numpy(), labels)
    if settings.svc_baseline:
        size = classifier.config["image_size"]
        arrays = [(whole(part, size, settings.batch_size), part.labels.numpy()) for part in (train, test)]
        metrics["svc_accuracy"] = svc_accuracy(*arrays)
    write_json(Path("metrics/test.json"), metrics)

    classes = classifier.classes
    counts = confusion(labels, predictions, classes)
    confusion_figure(OUT / "confusion_matrix.png", counts, classes)
    write_table(OUT / "confusion_matrix.csv", confusion_rows(counts, classes))
    write_table(OUT / "per_class.csv", per_class(labels, predictions, classes))
    write_table(OUT / "predictions.csv", prediction_rows(read_rows(SPLITS / "test.csv"), probabilities, classes))
    of_val = answers(classifier, val, settings.batch_size)
    write_table(OUT / "val_predictions.csv", prediction_rows(read_rows(SPLITS / "val.csv"), of_val, classes))
    low, high = metrics["test_accuracy_low"], metrics["test_accuracy_high"]
    print(f"test accuracy {metrics['test_accuracy']:.4f} ({low:.4f} to {high:.4f}) on {len(labels)} images")


def answers(classifier: Classifier, part: Part, batch_size: int) -> np.ndarray:
    """Probabilities (N, classes) of the images of a part, in the order of the split."""
    return np.concatenate([classifier.probabilities(images) for images, _ in part.in_order(batch_size)])


def whole(part: Part, image_size: list[int], batch_size: int) -> np.ndarray:
    """Every image of a part in one array uint8 (N, H, W, C), without the margin of train images."""
    return np.concatenate([centre_crop(images, image_size).numpy() for images, _ in part.in_order(batch_size)])


if __name__ == "__main__":
    run_program(main)
