"""All questions in order, cheap ones first, and how they are asked."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from vit.checks.answer import Answer, LeftOpen, Verdict
from vit.checks.augmentations import augmentations_leave_the_signal
from vit.checks.beginning import every_layer_gets_a_gradient, the_first_loss_is_a_guess
from vit.checks.fitting import the_model_overfits_a_few_images, weight_decay_leaves_the_fit
from vit.checks.labels import the_labels_fit_the_images
from vit.checks.placement import everything_is_on_the_device
from vit.checks.rate import the_rate_is_in_range
from vit.checks.subject import Subject
from vit.errors import UserError, one_line


@dataclass(frozen=True)
class Question:
    """Its short name, its text, the function that answers it, and the questions whose answers must not be bad."""

    name: str
    text: str
    ask: Callable[[Subject], Answer]
    needs: tuple[str, ...] = ("device",)


LEARNED = ("device", "overfit")
QUESTIONS = (
    Question("device", "is everything on the requested device?", everything_is_on_the_device, ()),
    Question("loss", "is the loss at the start ln(classes)?", the_first_loss_is_a_guess),
    Question("gradients", "does every layer get a gradient, neither zero nor huge?", every_layer_gets_a_gradient),
    Question("rate", "is the learning rate in range?", the_rate_is_in_range),
    Question("overfit", "can the model memorize 100 images?", the_model_overfits_a_few_images),
    Question("decay", "can it still do so with weight decay?", weight_decay_leaves_the_fit, LEARNED),
    Question("labels", "are the labels right?", the_labels_fit_the_images, LEARNED),
    # Memorized wrong labels do not survive any augmentation.
    Question(
        "augmentations", "do augmentations leave the signal?", augmentations_leave_the_signal, (*LEARNED, "labels")
    ),
)


def ask_all(subject: Subject) -> Iterator[tuple[Question, Answer, float]]:
    """Each question with its answer and the seconds it took; questions that depend on a bad answer stay open."""
    bad: set[str] = set()
    for question in QUESTIONS:
        began = time.monotonic()
        if spoiled := [name for name in question.needs if name in bad]:
            answer = Answer(Verdict.OPEN, f"not asked, because the answer to {spoiled[0]} is bad", "fix that first")
        else:
            answer = ask(question, subject)
        if answer.verdict is Verdict.BAD:
            bad.add(question.name)
        yield question, answer, time.monotonic() - began


def ask(question: Question, subject: Subject) -> Answer:
    """Its answer; open if there is no time, bad with the error message if the training is refused."""
    try:
        subject.clock.require_time()
        return question.ask(subject)
    except LeftOpen as left:
        return left.answer
    except UserError as error:
        return Answer(Verdict.BAD, one_line(error), "fix what the message names")
