"""The model before its first update: is its loss that of a guess, and does every layer get a gradient?"""

import math

from torch import nn

from vit.checks.answer import Answer, Verdict
from vit.checks.subject import Subject
from vit.training.optim import freeze

# Xavier's head on normed tokens gives logits of variance 2D / (D + K), at most 2, which add about half of it to the
# loss: sound models begin up to 1 above ln(classes). Twice that is a scale that nobody chose.
ABOVE = 2.0
BELOW = 0.5  # as a share of ln(classes): a new head that is this good has seen the labels
BATCHES = 4  # a ReLU may be silent for one batch
# A loss of a few units that changes by its own size over a step of 0.001: the update is noise.
HUGE = 1000.0
# Rounding leaves 1e-10 of ordinary float32 gradients, so a matrix below this has received only rounding errors.
ZERO = 1e-12


def the_first_loss_is_a_guess(subject: Subject) -> Answer:
    """The mean cross-entropy of new weights against ln(classes), in training mode, without an update."""
    train = subject.plain(label_smoothing=0.0)
    classifier = subject.new_classifier(subject.train())
    step = subject.new_step(classifier, train)
    images = subject.cropped(subject.sample)
    values = [
        loss
        for _, loss in zip(
            subject.clock.steps(BATCHES), subject.losses(classifier, step, images, [0.0] * BATCHES), strict=True
        )
    ]
    loss, guess = sum(values) / len(values), math.log(len(subject.classes))
    evidence = f"loss at the start {loss:.2f}, ln({len(subject.classes)} classes) = {guess:.2f}"
    if not loss <= guess + ABOVE:  # also NaN
        return Answer(
            Verdict.BAD,
            f"{evidence}: more than {ABOVE:g} above",
            "the logits are too large: check how the head is initialized, the scale of model.name "
            f"{subject.params.model.name}'s last layer, and the weights of train.init_from if there are any",
        )
    if subject.init is None and loss < BELOW * guess:
        return Answer(
            Verdict.BAD,
            f"{evidence}: new weights already predict the labels",
            "look for the label in the pixels, and for classes of data.path that are the same",
        )
    return Answer(Verdict.GOOD, evidence)


def every_layer_gets_a_gradient(subject: Subject) -> Answer:
    """Norms before clipping, the largest of a few batches, without the layers that train.frozen_layers freezes."""
    train = subject.train(clip_grad=None)
    classifier = subject.new_classifier(train)
    frozen = _frozen_on_purpose(subject)
    step = subject.new_step(classifier, train)
    largest = {name: 0.0 for name, _ in classifier.model.named_parameters() if name not in frozen}
    losses = subject.losses(classifier, step, subject.sample, [0.0] * BATCHES)
    for _, _ in zip(subject.clock.steps(BATCHES), losses, strict=True):
        for name, parameter in classifier.model.named_parameters():
            if name in largest and parameter.grad is not None:
                norm = parameter.grad.norm().item()
                largest[name] = max(largest[name], norm if math.isfinite(norm) else math.inf)
    return _judged(subject, classifier.model, largest, len(frozen))


def _frozen_on_purpose(subject: Subject) -> set[str]:
    """The parameters that train.frozen_layers freezes, read from a new model."""
    model = subject.new_classifier(subject.train()).model.requires_grad_(True)
    freeze(model, subject.params.train.frozen_layers)
    return {name for name, parameter in model.named_parameters() if not parameter.requires_grad}


def _judged(subject: Subject, model: nn.Module, largest: dict[str, float], frozen: int) -> Answer:
    parameters = dict(model.named_parameters())
    unmoved = [name for name in largest if not parameters[name].requires_grad]
    silent = [name for name, norm in largest.items() if name not in unmoved and _is_zero(parameters[name], norm)]
    huge = [name for name, norm in largest.items() if norm > HUGE]
    layers = _by_layer(model, largest)
    path = subject.out / "gradients.txt"
    lines = (f"{layer.ljust(20)}{norm:12.3g}" for layer, norm in layers.items())
    path.write_text("layer, and the norm of its gradient\n" + "\n".join(lines) + "\n", encoding="utf-8")
    faults = [
        (
            unmoved,
            "frozen, but not by train.frozen_layers",
            "set requires_grad in the model's code, or train.frozen_layers",
        ),
        (silent, "without a gradient", "check forward in the model's code: is the layer used, are its ReLUs alive?"),
        (huge, f"with a gradient above {HUGE:g}", "check the layer's initialization and norms in the model's code"),
    ]
    found = [(f"{_some(names)} {what}", way_out) for names, what, way_out in faults if names]
    if found:
        evidence, ways_out = zip(*found, strict=True)
        return Answer(Verdict.BAD, "; ".join(evidence), "; ".join(ways_out), [path])
    low, high = min(layers.values()), max(layers.values())
    also = f"; {frozen} parameters are frozen by train.frozen_layers" if frozen else ""
    return Answer(
        Verdict.GOOD,
        f"all {len(largest)} parameters in {len(layers)} layers get one, norms {low:.2g} to {high:.2g} per layer{also}",
        files=[path],
    )


def _is_zero(parameter: nn.Parameter, norm: float) -> bool:
    """For a matrix, below rounding; a bias before a norm gets only rounding errors as a gradient, and has no effect."""
    return norm == 0 or (parameter.ndim > 1 and norm < ZERO * parameter.numel() ** 0.5)


def _by_layer(model: nn.Module, norms: dict[str, float]) -> dict[str, float]:
    """The norm over a layer's parameters: block by block in a ViT, module by module elsewhere."""
    squares: dict[str, float] = {}
    for name, norm in norms.items():
        words = name.split(".")
        inner = len(words) > 2 and words[1].isdigit()
        layer = ".".join(words[:2] if inner else words[:1])
        squares[layer] = squares.get(layer, 0.0) + norm**2
    return {layer: math.sqrt(square) for layer, square in squares.items()}


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
