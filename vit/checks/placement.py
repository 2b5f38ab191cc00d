"""Is everything on the requested device?"""

from collections.abc import Iterator
from itertools import chain

import torch
from torch import Tensor

from vit.checks.answer import Answer, Verdict
from vit.checks.subject import Subject
from vit.training.distributed import World
from vit.training.feed import Feed
from vit.training.step import TrainingStep

NAMED = 3  # tensors in a line


def everything_is_on_the_device(subject: Subject) -> Answer:
    """Weights, buffers, the teacher, a batch, and the optimizers' state after a step, against `train.device`."""
    train, asked = subject.train(), subject.params.train.device
    classifier = subject.new_classifier(train)
    step = subject.new_step(classifier, train)
    astray = _astray(_weights(step), classifier.device)
    if not astray:  # else a step would fail with a message that does not name the tensor
        feed = Feed(classifier, subject.sample.on_device(classifier.device), train, World())
        size, pieces = next(feed.epoch(0))
        batch = list(pieces)
        astray = _astray(
            ((f"batch[{index}]", one) for index, one in enumerate(chain.from_iterable(batch))), classifier.device
        )
        if not astray:
            step.set_training()
            step(batch, size, 0.0)
            astray = _astray(_optimizer_state(step), classifier.device)
    came_to = f"'{asked}'" if asked != "auto" else f"'auto', here {classifier.device}"
    if astray:
        more = f" and {len(astray) - NAMED} more" if len(astray) > NAMED else ""
        return Answer(
            Verdict.BAD,
            f"train.device is {came_to}, but these are elsewhere: {', '.join(astray[:NAMED])}{more}",
            "move them in the model's code (register_buffer or Parameter, and no fixed device in forward)",
        )
    return Answer(Verdict.GOOD, f"weights, batch and optimizer are on {classifier.device} (train.device {came_to})")


def _weights(step: TrainingStep) -> Iterator[tuple[str, Tensor]]:
    yield from step.model.state_dict(keep_vars=True).items()
    yield from step.model.named_buffers()
    if step.teacher is not None:
        yield from ((f"teacher.{name}", one) for name, one in step.teacher.model.state_dict().items())


def _optimizer_state(step: TrainingStep) -> Iterator[tuple[str, Tensor]]:
    names = {id(parameter): name for name, parameter in step.model.named_parameters()}
    for optimizer in step.optimizers:
        for parameter, state in optimizer.state.items():
            for key, value in state.items():
                if isinstance(value, Tensor) and value.ndim:  # counters of steps stay on the CPU by design
                    yield f"{key} of {names[id(parameter)]}", value


def _astray(tensors: Iterator[tuple[str, Tensor]], device: torch.device) -> list[str]:
    """Tensors on another device; `cuda` and `cuda:0` are the same if cuda:0 is the current device."""
    here = torch.empty(0, device=device).device
    return list(dict.fromkeys(f"{name} on {one.device}" for name, one in tensors if one.device != here))
