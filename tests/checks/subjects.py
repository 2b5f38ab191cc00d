"""Small subjects to check: the shapes, honest or with something broken."""

from collections.abc import Callable
from pathlib import Path

from torch import Tensor, nn

from tests.presets import preset
from tests.shapes import CLASSES, shapes
from vit.checks.answer import Answer, Clock
from vit.checks.questions import QUESTIONS, ask
from vit.checks.subject import Subject, new_subject
from vit.data.batches import Packed
from vit.data.images import SETTINGS
from vit.data.pack import channel_statistics
from vit.inference import classifier as inference


def subject(
    folder: Path, relabel: Callable[[Tensor], Tensor] = lambda labels: labels, budget: float = 600.0, **changes: object
) -> Subject:
    """200 shapes and the preset's model on one core of the CPU, with parameters changed by dotted key."""
    honest = {"train.device": "cpu", "train.precision": "float32", "train.threads": 1, "train.epochs": 30}
    params = preset(folder, "shapes", honest | changes)
    drawn = shapes(folder, 50)
    part = Packed(drawn.images, relabel(drawn.labels))
    preprocessing = {
        "classes": CLASSES,
        **params.pack.model_dump(include=set(SETTINGS)),
        **channel_statistics(part.images.numpy()),
    }
    out = folder / "check"
    out.mkdir()
    return new_subject(params, preprocessing, part, [f"{n}.png" for n in range(len(part))], out, Clock(budget))


def answer_to(name: str, asked: Subject) -> Answer:
    """The answer to the question of that name."""
    (question,) = (one for one in QUESTIONS if one.name == name)
    return ask(question, asked)


def broken(monkeypatch, break_it: Callable[[nn.Module], object]) -> None:
    """From now on every new model is built as always, then broken."""
    build = inference.new_model

    def build_and_break(config: dict) -> nn.Module:
        model = build(config)
        break_it(model)
        return model

    monkeypatch.setattr(inference, "new_model", build_and_break)
