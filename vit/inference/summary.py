"""A model as a table: each module's output shape, parameters and multiply-adds."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from vit.inference.classifier import Classifier

DEPTH = 3  # levels of nested modules that get their own line
HEADER = ("module", "type", "output", "parameters", "multiply-adds")
Shapes = dict[nn.Module, tuple[torch.Size, torch.Size]]  # of input and output


@dataclass(frozen=True)
class Entry:
    """A module or a parameter with its parts. Two entries are equal if they differ only in name."""

    name: str = field(compare=False)
    kind: str
    output: str  # shape for one image; empty if the module is not called because its parent uses its weights
    parameters: int
    multiply_adds: int
    parts: tuple["Entry", ...] = ()


def model_summary(config: dict) -> str:
    """The layers of the model that `config` (model/config.json) describes, with figures for one image.

    `N x` before a type means N equal modules in a row, and the line holds their sums. The last line equals
    `cost_of(config)`.
    """
    classifier = without_memory(config)
    shapes: Shapes = {}
    for module in classifier.model.modules():
        module.register_forward_hook(lambda one, x, y: shapes.update({one: (_shape(x), _shape(y))}))
    counts = count(classifier).get_flop_counts()
    multiply_adds = {path: sum(by_operation.values()) // 2 for path, by_operation in counts.items()}
    root = type(classifier.model).__name__
    total = _entry("total", classifier.model, root, shapes, multiply_adds)
    rows = [HEADER, *_rows(total.parts), _row(total)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    layout = "  ".join(f"{{:{'<' if index < 3 else '>'}{width}}}" for index, width in enumerate(widths))
    return "".join(layout.format(*row).rstrip() + "\n" for row in rows)


def without_memory(config: dict) -> Classifier:
    """The model with shapes only: nothing is allocated or computed, and no random generator advances."""
    with torch.device("meta"):
        classifier = Classifier.new(config, torch.device("meta"))
    classifier.model.eval().requires_grad_(False)  # the counter fails on a parameter that is a module's input
    return classifier


def count(classifier: Classifier) -> FlopCounterMode:
    """Operations for one image by module; a multiply-add of a matrix product or convolution counts as two.

    Explicit and fused attention count the same.
    """
    image = torch.empty(1, classifier.config["channels"], *classifier.config["image_size"], device=classifier.device)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        classifier.model(image)
    return counter


def _entry(name: str, module: nn.Module, path: str, shapes: Shapes, multiply_adds: dict[str, int]) -> Entry:
    children = [(key, child, f"{path}.{key}") for key, child in module.named_children()]
    parts = [_entry(*child, shapes, multiply_adds) for child in children if _matters(*child[1:], shapes, multiply_adds)]
    if parts:
        own = module.named_parameters(recurse=False)
        parts = [Entry(key, "Parameter", _size(one.shape), one.numel(), 0) for key, one in own] + parts
    output = _size(shapes[module][1][1:]) if module in shapes else ""
    parameters = sum(one.numel() for one in module.parameters())
    within = sum(part.multiply_adds for part in parts)  # a list of blocks is never called itself
    return Entry(name, type(module).__name__, output, parameters, multiply_adds.get(path, within), tuple(parts))


def _matters(module: nn.Module, path: str, shapes: Shapes, multiply_adds: dict[str, int]) -> bool:
    """Whether a module gets a line: activations, dropout and identities do not."""
    before, after = shapes.get(module, (None, None))
    return before != after or path in multiply_adds or any(True for _ in module.parameters())


def _rows(entries: tuple[Entry, ...], depth: int = 1, times: int = 1) -> Iterator[tuple[str, ...]]:
    for _, group in groupby(entries, key=lambda entry: entry):
        first, *others = group
        name = f"{first.name} to {others[-1].name}" if others else first.name
        alike = times * (1 + len(others))
        yield _row(first, "  " * (depth - 1) + name, alike)
        if depth < DEPTH:
            yield from _rows(first.parts, depth + 1, alike)


def _row(entry: Entry, name: str = "total", times: int = 1) -> tuple[str, ...]:
    kind = entry.kind if times == 1 else f"{times} x {entry.kind}"
    is_counted_above = not entry.output and not entry.multiply_adds
    multiply_adds = "" if is_counted_above else f"{times * entry.multiply_adds:,}"
    return name, kind, entry.output, f"{times * entry.parameters:,}", multiply_adds


def _shape(values: Tensor | tuple | list) -> torch.Size:
    """The shape of the first tensor of a module's input or output."""
    return values.shape if isinstance(values, Tensor) else _shape(values[0])


def _size(shape: torch.Size) -> str:
    return "x".join(map(str, shape))
