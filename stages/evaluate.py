"""evaluate: judge the trained model on the untouched test part, beside what a program without a ViT reaches there."""

from pathlib import Path

import numpy as np

from vit.baselines import majority_accuracy, svc_accuracy
from vit.data.batches import Packed
from vit.data.manifest import read_rows
from vit.errors import run_program
from vit.evaluation.metrics import confusion, confusion_rows, headline, per_class, prediction_rows
from vit.evaluation.plots import confusion_figure
from vit.files import write_json, write_table
from vit.inference import Classifier
from vit.params import load_params
from vit.training.device import find_device

PACKED = Path("data/packed")
OUT = Path("evaluation")


def main() -> None:
    """Label the test part; write its metrics, the confusion matrix and every prediction."""
    params = load_params()
    settings = params.evaluate
    classifier = Classifier.load(Path("model"), find_device(settings.device))
    train, test = Packed.load(PACKED, "train"), Packed.load(PACKED, "test")
    batches = test.in_order(settings.batch_size)
    probabilities = np.concatenate([classifier.probabilities(images) for images, _ in batches])
    labels, predictions = test.labels.numpy(), probabilities.argmax(axis=1)

    metrics = headline(labels, probabilities, settings.confidence_level)
    metrics["majority_accuracy"] = majority_accuracy(train.labels.numpy(), labels)
    if settings.svc_baseline:
        arrays = [(part.images.numpy(), part.labels.numpy()) for part in (train, test)]
        metrics["svc_accuracy"] = svc_accuracy(*arrays)
    write_json(Path("metrics/test.json"), metrics)

    classes = classifier.classes
    counts = confusion(labels, predictions, classes)
    confusion_figure(OUT / "confusion_matrix.png", counts, classes)
    write_table(OUT / "confusion_matrix.csv", confusion_rows(counts, classes))
    write_table(OUT / "per_class.csv", per_class(labels, predictions, classes))
    paths = [row.path for row in read_rows(Path("data/splits/test.csv"))]
    write_table(OUT / "predictions.csv", prediction_rows(paths, labels, probabilities, classes))
    low, high = metrics["test_accuracy_low"], metrics["test_accuracy_high"]
    print(f"test accuracy {metrics['test_accuracy']:.4f} ({low:.4f} to {high:.4f}) on {len(labels)} images")


if __name__ == "__main__":
    run_program(main)
