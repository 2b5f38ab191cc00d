"""Are the labels right? Compares a model's predictions on images it was not trained on with their labels."""

import math

import numpy as np
import torch
from torch import Tensor

from vit.checks.answer import Answer, Verdict
from vit.checks.fitting import WARM_UP, overfitted
from vit.checks.subject import Subject, balanced, chosen
from vit.data.seeds import seeded
from vit.files import write_table

STEPS = 50  # of each half
SHEET = 32
CHANCE = 3.0  # standard errors above the most frequent class: reached by chance once in a thousand times
COLUMNS = ["path", "label", "prediction", "confidence", "confidence_in_label"]


def the_labels_fit_the_images(subject: Subject) -> Answer:
    """Two models, each trained on half of the sample, judge the other half: better than chance, or labels are wrong.

    Writes a sheet of images with their labels, and a sheet and a table of those the models contradict most confidently.
    """
    overfitted(subject)  # a model that does not learn can judge no label
    probabilities = out_of_half(subject)
    labels = subject.sample.labels
    predicted = probabilities.argmax(dim=1)
    rows = torch.arange(len(labels))
    doubt = probabilities[rows, predicted] - probabilities[rows, labels]
    contradicted = [index for index in doubt.argsort(descending=True, stable=True).tolist() if doubt[index] > 0]
    files = _write(subject, probabilities, predicted, contradicted)
    share = (predicted == labels).double().mean().item()
    majority = labels.bincount().max().item() / len(labels)
    least = majority + CHANCE * math.sqrt(majority * (1 - majority) / len(labels))
    surely = (doubt > 0.9).double().mean().item()
    evidence = (
        f"models that did not see them predict the label of {share:.0%} of {len(labels)} images (the most frequent "
        f"class is {majority:.0%}), and confidently contradict {surely:.1%}"
    )
    if share <= least:
        return Answer(
            Verdict.BAD,
            f"{evidence}: no better than chance",
            "compare labels.png with what you know; check the folders of data.path, data/splits/train.csv and the "
            "order of a table of labels",
            files,
        )
    return Answer(Verdict.GOOD, f"{evidence}; see the first in {files[1].name}", files=files)


def out_of_half(subject: Subject) -> Tensor:
    """Probabilities (N, K) for the sample's images, each from the model trained on the other half."""
    images = subject.cropped(subject.sample)
    halves = torch.randperm(len(images), generator=seeded(subject.params.train.seed, "halves")).tensor_split(2)
    found = torch.empty(len(images), len(subject.classes))
    ticks = subject.clock.steps(2 * STEPS)
    for seen, unseen in (halves, halves[::-1]):
        train = subject.plain()
        classifier = subject.new_classifier(train)
        step = subject.new_step(classifier, train)
        part = chosen(images, seen)
        if len(part) % train.batch_size == 1:
            part = chosen(part, torch.arange(len(part) - 1))
        for _ in subject.losses(classifier, step, part, _rates(train.lr)):
            next(ticks, None)
        logits = torch.cat([classifier.logits(batch) for batch in images.images[unseen].split(256)])
        found[unseen] = logits.softmax(dim=1)
    return found


def _rates(lr: float) -> list[float]:
    """A warm-up and a cosine down to 0."""
    fall = STEPS - WARM_UP
    return [lr * (n + 1) / WARM_UP for n in range(WARM_UP)] + [
        lr * (1 + math.cos(math.pi * n / fall)) / 2 for n in range(fall)
    ]


def _write(subject: Subject, probabilities: Tensor, predicted: Tensor, contradicted: list[int]) -> list:
    from vit.evaluation.plots import contact_sheet  # late: matplotlib costs a second

    images, classes = subject.cropped(subject.sample).images, subject.classes
    labels = subject.sample.labels.tolist()
    sheet, doubted, table = (subject.out / name for name in ("labels.png", "contradicted.png", "contradicted.csv"))

    def pictures(indices: list[int]) -> np.ndarray:
        return images[indices].numpy() / 255

    shown = balanced(subject.sample, SHEET)
    contact_sheet(sheet, pictures(shown), [f"{classes[labels[index]]}\n" for index in shown])
    first = contradicted[:SHEET]
    captions = [
        f"{classes[labels[index]]}\nas {classes[predicted[index]]} ({probabilities[index, predicted[index]]:.0%})"
        for index in first
    ]
    contact_sheet(doubted, pictures(first), captions)
    rows = [
        {
            "path": subject.paths[index],
            "label": classes[labels[index]],
            "prediction": classes[predicted[index]],
            "confidence": f"{probabilities[index, predicted[index]]:.4f}",
            "confidence_in_label": f"{probabilities[index, labels[index]]:.4f}",
        }
        for index in contradicted
    ]
    write_table(table, rows, COLUMNS)
    return [sheet, doubted, table]
