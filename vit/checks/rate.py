"""Is the learning rate in range? Smith 2017, "Cyclical Learning Rates for Training Neural Networks", section 3.3."""

import math
from dataclasses import dataclass
from pathlib import Path

from vit.checks.answer import Answer, LeftOpen, Verdict
from vit.checks.fitting import subset
from vit.checks.subject import Subject
from vit.training.loop import steps_per_epoch

FIRST, DECADES, PER_DECADE = 1e-6, 7, 8
MEMORY = 0.6  # of the smoothed loss: each step counts for two or three
DIVERGED = 2.0  # times the loss at the start; beyond it, higher rates show nothing
LEARNING = 0.25  # share of the fall from a guess to the lowest loss at which the model learns
# The test spends 8 steps on a decade, and by a rate r has moved weights as far as 4 steps at r would. So at a twentieth
# of r it takes 80 steps to get where learning begins: a small training is half over by then.
LOW = 1 / 20


@dataclass(frozen=True)
class Range:
    """Smoothed losses by rate, and the range of rates in which a training learns; `best` has the lowest loss."""

    rates: list[float]
    losses: list[float]
    low: float
    best: float
    high: float


def the_rate_is_in_range(subject: Subject) -> Answer:
    """One step at each of a rising series of rates, on the images of overfit, and where train.lr lies in it."""
    lr, found = subject.params.train.lr, range_test(subject)
    path = subject.out / "learning_rate.png"
    draw(path, found, lr)
    evidence = f"train.lr is {lr:g}; the loss falls from about {found.low:.1g} and diverges from {found.high:.1g}"
    if found.low <= lr < found.high:
        return Answer(Verdict.GOOD, evidence, files=[path])
    proposed = min(max(found.best / 10, found.low), found.high / 3)
    return Answer(
        Verdict.BAD,
        f"{evidence}: too {'low' if lr < found.low else 'high'}",
        f"train.lr from {lr:g} to {proposed:.1g}",
        [path],
    )


def range_test(subject: Subject) -> Range:
    """Raises LeftOpen if the loss falls at no rate."""
    train = subject.plain()
    classifier = subject.new_classifier(train)
    step = subject.new_step(classifier, train)
    images = subject.cropped(subset(subject))
    count = DECADES * PER_DECADE + 1
    rates = [FIRST * 10 ** (number / PER_DECADE) for number in range(count)]
    losses: list[float] = []
    mean = 0.0
    for number, loss in zip(subject.clock.steps(count), subject.losses(classifier, step, images, rates), strict=True):
        mean = MEMORY * mean + (1 - MEMORY) * loss
        losses.append(mean / (1 - MEMORY ** (number + 1)))
        if not losses[-1] < DIVERGED * losses[0]:
            break
    return _read(subject, rates[: len(losses)], losses)


def _read(subject: Subject, rates: list[float], losses: list[float]) -> Range:
    guess = min(losses[0], math.log(len(subject.classes)))
    best = min(range(len(losses)), key=lambda number: losses[number])
    fall = guess - losses[best]
    if not fall > 0.05 * guess:
        raise LeftOpen(
            f"the loss falls at no rate from {rates[0]:g} to {rates[-1]:.2g}",
            "see the answers to loss, gradients and labels",
        )
    learning = next(rate for rate, loss in zip(rates, losses, strict=True) if loss <= guess - LEARNING * fall)
    high = next((rates[number] for number in range(best, len(losses)) if not losses[number] < guess), rates[-1])
    train = subject.params.train
    steps = train.epochs * steps_per_epoch(subject.images, train.batch_size)
    moved = learning / (1 - 10 ** (-1 / PER_DECADE))  # the sum of the rates up to there
    return Range(rates, losses, max(LOW * learning, moved / steps), rates[best], high)


def draw(path: Path, found: Range, lr: float) -> None:
    """The loss against the rate, with the range and train.lr."""
    from matplotlib.figure import Figure  # late: it costs a second

    from vit.evaluation.plots import save_figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(found.rates, found.losses, label="loss, smoothed")
    axes.axvspan(found.low, found.high, color="tab:green", alpha=0.12, label="in range")
    axes.axvline(lr, color="tab:red", linestyle="--", label=f"train.lr {lr:g}")
    axes.set(xscale="log", xlabel="learning rate", ylabel="loss", title="Learning rate range test")
    axes.set_ylim(bottom=0, top=1.2 * max(found.losses[: len(found.losses) // 2]))
    axes.legend(loc="lower left")
    axes.grid(alpha=0.3)
    save_figure(figure, path)
