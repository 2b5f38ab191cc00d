"""What stage pretrain will take: real steps of it on images of noise."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count

from vit.checks.subject import Subject
from vit.config.files import UNLABELLED
from vit.data.joined import Joined
from vit.data.sources.listing import list_files
from vit.training.pretraining import PretrainingStep, batches


@dataclass(frozen=True)
class Pretraining:
    """Stage pretrain: `minutes` are for all epochs of the images without labels and of train."""

    epochs: int
    unlabelled_images: int
    images_per_second: float
    minutes: float


def unlabelled_images() -> int:
    """Those in unlabelled/; stage pretrain will leave out some of them, such as copies of test images."""
    return len(list_files(UNLABELLED.resolve(), UNLABELLED).images) if UNLABELLED.is_dir() else 0


def steps(subject: Subject) -> Iterator[int]:
    """Images of each step, without an end."""
    params, classifier = subject.params, subject.new_classifier(subject.params.train)
    step = PretrainingStep(classifier, params.pretrain, replace(subject.compute, compile=False))
    step.autoencoder.train()
    part = Joined(subject.sample, subject.sample)
    for epoch in count():
        for x, noise in batches(step, classifier, part, params.pretrain.batch_size, params.train, epoch, 0):
            step(x, noise, 0.0).tolist()  # waits for an accelerator
            yield len(x)
