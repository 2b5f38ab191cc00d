"""The model before its first update: is its loss that of a guess, and does every layer get a gradient?"""

import math

from torch import nn

from vit.checks.answer import Answer, Verdict
from vit.checks.subject import Subject
from vit.training.optim import freeze

# Xavier's head on normed tokens gives logits of variance 2D / (D + K), at most 2, which add about half of it to the
# loss: honest models begin up to 1 above ln(classes). Twice that is a scale that nobody chose.
ABOVE = 2.0
BELOW = 0.5  # as a share of ln(classes): a new head that knows half of the answer has seen it
BATCHES = 4  # a ReLU may be silent for one batch
# A loss of a few units that changes by its whole height over a step of a thousandth: the update is noise.
HUGE = 1000.0
# Float32 leaves 1e-10 of gradients of ordinary size, so a matrix below this has had nothing but rounding.
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
            "the logits are too large: look at how the head is initialized, at the scale of model.name "
            f"{subject.params.model.name}'s last layer, and at the weights of train.init_from if there are any",
        )
    if subject.init is None and loss < BELOW * guess:
        return Answer(
            Verdict.BAD,
            f"{evidence}: new weights know the answer",
            "look for the label in the pixels, and for a data.path whose classes are one and the same",
        )
    return Answer(Verdict.GOOD, evidence)


def every_layer_gets_a_gradient(subject: Subject) -> Answer:
    """Norms before clipping, the largest of a few batches; what train.frozen_layers freezes is left out."""
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
    """The parameters that train.frozen_layers keeps as they are, asked of a model of its own."""
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
            "frozen, though not by train.frozen_layers",
            "set requires_grad in the model's code, or train.frozen_layers",
        ),
        (silent, "without a gradient", "look at forward in the model's code: is the layer used, are its ReLUs alive?"),
        (huge, f"with a gradient above {HUGE:g}", "look at the layer's initialization and norms in the model's code"),
    ]
    found = [(f"{_some(names)} {what}", way_out) for names, what, way_out in faults if names]
    if found:
        evidence, ways_out = zip(*found, strict=True)
        return Answer(Verdict.BAD, "; ".join(evidence), "; ".join(ways_out), [path])
    low, high = min(layers.values()), max(layers.values())
    also = f"; {frozen} parameters are frozen by train.frozen_layers" if frozen else ""
    return Answer(
        Verdict.GOOD,
        f"all {len(largest)} parameters in {len(layers)} layers get one, norms {low:.2g} to {high:.2g} a layer{also}",
        files=[path],
    )


def _is_zero(parameter: nn.Parameter, norm: float) -> bool:
    """Of a matrix, below rounding; a bias in front of a norm has no other gradient than rounding, and no effect."""
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
