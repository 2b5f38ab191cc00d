"""Do augmentations leave the signal? Compares the overfitted model's predictions before and after them."""

from pathlib import Path

import numpy as np
import torch

from vit.checks.answer import Answer, Verdict
from vit.checks.fitting import accuracy, overfitted, subset
from vit.checks.subject import Fit, Subject
from vit.config.schema import AugmentParams
from vit.data.batches import Packed
from vit.data.seeds import seeded
from vit.training.distributed import World
from vit.training.feed import Feed

DRAWS = 4  # of every image
SHOWN = 16
MIXING = {"mixup": 0.0, "cutmix": 0.0}  # they change the label with the image, by the same share
# A model that never saw an augmentation predicts fewer images correctly; its accuracy above chance is the signal.
KEPT = 0.4  # share of its accuracy above chance


def augmentations_leave_the_signal(subject: Subject) -> Answer:
    """Accuracy of the overfitted model on augmented images, and which augmentation costs most of it."""
    fit, images = overfitted(subject), subset(subject)
    path = subject.out / "augmentations.png"
    draw(subject, fit, images, path)
    settings = subject.params.train.augment
    varied = {name: value for name, value in settings.model_dump().items() if value and name not in MIXING}
    chance = images.labels.bincount().max().item() / len(images)
    before = accuracy(fit.classifier, subject.cropped(images))
    floor = chance + KEPT * (before - chance)
    after = accuracy_on(subject, fit, images, settings)
    evidence = (
        f"the overfitted model predicts {before:.0%} of the images correctly, {after:.0%} with augmentation (chance "
        f"{chance:.0%}, at least {floor:.0%} needed)"
    )
    if after >= floor:
        return Answer(Verdict.GOOD, evidence, files=[path])
    if not varied:
        return Answer(Verdict.BAD, f"{evidence}, from random crops alone", "lower pack.margin", [path])
    without = {name: accuracy_on(subject, fit, images, settings.model_copy(update={name: 0.0})) for name in varied}
    worst = max(without, key=lambda name: without[name])
    value = milder(subject, fit, images, worst, floor)
    also = "" if value or without[worst] >= floor else ", then run again: it is not the only one"
    return Answer(
        Verdict.BAD,
        f"{evidence}; without {worst} it would be {without[worst]:.0%}",
        f"train.augment.{worst} from {varied[worst]:g} to {value:.3g}{also}",
        [path],
    )


def milder(subject: Subject, fit: Fit, images: Packed, name: str, floor: float) -> float:
    """The value of an augmentation, halved until all together leave `floor`, else 0."""
    settings = subject.params.train.augment
    value = getattr(settings, name)
    for _ in range(5):
        value = float(f"{value / 2:.3g}")
        if accuracy_on(subject, fit, images, settings.model_copy(update={name: value})) >= floor:
            return value
    return 0.0


def accuracy_on(subject: Subject, fit: Fit, images: Packed, settings: AugmentParams) -> float:
    """Accuracy of the overfitted model on DRAWS of every image, augmented as in training but not mixed."""
    train = subject.plain(augment=settings.model_copy(update=MIXING))
    feed = Feed(fit.classifier, images.on_device(fit.classifier.device), train, World())
    model = fit.classifier.model.eval()
    right = 0
    with torch.inference_mode():
        for epoch in range(DRAWS):
            for _, pieces in feed.epoch(epoch):
                right += sum((model(x).argmax(dim=1) == labels).sum().item() for x, labels in pieces)
    return right / (DRAWS * len(images))


def draw(subject: Subject, fit: Fit, images: Packed, path: Path) -> None:
    """The first batch of a training, each image before and after all augmentations of params.yaml."""
    from vit.evaluation.plots import contact_sheet  # late: matplotlib costs a second

    classifier = fit.classifier
    feed = Feed(
        classifier,
        images,
        subject.plain(augment=subject.params.train.augment, batch_size=len(images), grad_accum_steps=1),
        World(),
    )
    _, pieces = next(feed.epoch(0))
    x, _ = next(pieces)
    indices = torch.randperm(len(images), generator=seeded(subject.params.train.seed, "order", 0))[:SHOWN]
    x = x[:SHOWN].cpu() * torch.tensor(classifier.std)[:, None, None] + torch.tensor(classifier.mean)[:, None, None]
    after = x.permute(0, 2, 3, 1).numpy()
    before = subject.cropped(images).images[indices].numpy() / 255
    pairs = [picture for pair in zip(before, after, strict=True) for picture in pair]
    names = [subject.classes[label] for label in images.labels[indices].tolist()]
    captions = [caption for name in names for caption in (f"{name}\nbefore", f"{name}\nafter")]
    contact_sheet(path, np.stack(pairs), captions)
