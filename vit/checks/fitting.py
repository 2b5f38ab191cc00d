"""A model trained on 100 images until it has memorized them, which several questions use."""

import math

from torch import nn

from vit.checks.answer import Answer, LeftOpen, Verdict
from vit.checks.subject import Fit, Subject, balanced, chosen
from vit.data.batches import Packed
from vit.inference.classifier import Classifier

IMAGES = 100
ENOUGH = 0.99
# The presets need 30 to 80 steps; a model that has not fitted 100 images after 300 has a fault.
MOST, EXPECTED = 300, 100
WARM_UP = 10  # steps
LOOK = 3  # epochs between two looks at the accuracy


def subset(subject: Subject) -> Packed:
    """At most IMAGES packed train images, equally from all classes; never a batch of one, which batch norm refuses."""
    count = min(IMAGES, len(subject.sample))
    lonely = count > 1 and count % subject.params.train.batch_size == 1
    return chosen(subject.sample, balanced(subject.sample, count - lonely))


def overfitted(subject: Subject) -> Fit:
    """The model trained on the subset without decay. Raises LeftOpen if it has not learned the subset."""
    if subject.fit is None:
        subject.fit = fit(subject, 0.0)
    if subject.fit.accuracy < ENOUGH:
        raise LeftOpen("it needs a model that fits its images; this one does not", "see the answer to overfit first")
    return subject.fit


def the_model_overfits_a_few_images(subject: Subject) -> Answer:
    """Accuracy on the subset with augmentation, decay and teacher off; the rest is as in params.yaml."""
    if subject.fit is None:
        subject.fit = fit(subject, 0.0)
    found, count = subject.fit, len(subset(subject).labels)
    evidence = f"{found.accuracy:.0%} of {count} train images after {found.steps} steps"
    if found.accuracy >= ENOUGH:
        return Answer(Verdict.GOOD, evidence)
    params = subject.params
    ways = ["train.lr as rate proposes", "a larger model.embed_dim or model.depth"]
    ways += [
        f"model.{name} to 0"
        for name in ("drop_rate", "attn_drop_rate", "drop_path_rate")
        if getattr(params.model, name)
    ]
    if params.train.frozen_layers:
        ways.insert(0, f"train.frozen_layers from {params.train.frozen_layers} to 0")
    return Answer(Verdict.BAD, f"only {evidence}", f"change one at a time: {'; '.join(ways)}")


def weight_decay_leaves_the_fit(subject: Subject) -> Answer:
    """The same training with train.weight_decay and as many steps: accuracy, and the norm of the decayed weights."""
    without, decay = overfitted(subject), subject.params.train.weight_decay
    if decay == 0:
        return Answer(Verdict.GOOD, "train.weight_decay is 0")
    decayed = fit(subject, decay, without.constant)
    evidence = (
        f"with decay {decay:g} {decayed.accuracy:.0%} of the images are learned (without {without.accuracy:.0%}), the "
        f"norm of the weights is {decayed.norm:.3g} (without {without.norm:.3g})"
    )
    if decayed.accuracy >= ENOUGH:
        return Answer(Verdict.GOOD, evidence)
    return Answer(Verdict.BAD, evidence, f"train.weight_decay from {decay:g} to {decay / 10:g}")


def fit(subject: Subject, weight_decay: float, constant: int | None = None) -> Fit:
    """Train on the subset at train.lr until all predictions are correct, then half as long while the rate falls to 0.

    With `constant` it takes as many steps at train.lr, so that two trainings are alike; otherwise at most MOST.
    """
    images = subject.cropped(subset(subject))
    train = subject.plain(weight_decay=weight_decay)
    classifier = subject.new_classifier(train)
    step = subject.new_step(classifier, train)
    look_every = LOOK * math.ceil(len(images) / train.batch_size)
    most = MOST if constant is None else constant
    rising = (train.lr * min(1.0, (number + 1) / WARM_UP) for number in range(most))
    losses = subject.losses(classifier, step, images, rising)
    done = 0
    for number, _ in zip(subject.clock.steps(most, min(EXPECTED, most)), losses, strict=False):
        done = number + 1
        may_stop = constant is None and done >= WARM_UP and done % look_every == 0
        if may_stop and accuracy(classifier, images) == 1:
            break
    last = done // 2
    falling = (train.lr * (1 - (number + 1) / last) for number in range(last))
    for _, _ in zip(subject.clock.steps(last), subject.losses(classifier, step, images, falling), strict=False):
        pass
    return Fit(classifier, done, done + last, accuracy(classifier, images), _norm(classifier.model))


def accuracy(classifier: Classifier, images: Packed) -> float:
    """Accuracy on images of image_size, as the served model sees them."""
    right = sum(
        (classifier.logits(batch).argmax(dim=1) == labels).sum().item() for batch, labels in images.in_order(256)
    )
    return right / len(images)


def _norm(model: nn.Module) -> float:
    """The norm of the weights that the optimizers decay: matrices and filters."""
    decays = (p for name, p in model.named_parameters() if p.ndim > 1 and name.endswith("weight") and p.requires_grad)
    return math.sqrt(sum(parameter.detach().square().sum().item() for parameter in decays))
