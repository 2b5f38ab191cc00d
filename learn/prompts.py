"""What one can show a Pointer of learn/pointing.py: a click, a box, or a word of the caption, as two tokens."""

from collections.abc import Sequence

import torch
from torch import Tensor

from learn.drawings import COLORS, SHAPES, Drawing

KINDS = ("click", "top left", "bottom right", "nothing", *COLORS, *SHAPES)  # what a token of a prompt can be
WITH_PLACE = 3  # the first of KINDS are places
Prompt = tuple[Tensor, Tensor]  # the kinds (2,) of its two tokens, and their places (2, 2): row and column in pixels


def prompt(*kinds: str, places: Sequence[Sequence[float]] = ()) -> Prompt:
    """Of one or two tokens; the first have `places`."""
    numbers = [KINDS.index(kind) for kind in (*kinds, "nothing")][:2]
    return torch.tensor(numbers), torch.tensor([*places, (0.0, 0.0), (0.0, 0.0)][:2], dtype=torch.float32)


def click(row: float, column: float) -> Prompt:
    return prompt("click", places=[(row, column)])


def box(corners: Tensor) -> Prompt:
    """`corners` as in Drawing.boxes."""
    return prompt("top left", "bottom right", places=corners.view(2, 2).tolist())


def words(drawing: Drawing, index: int) -> list[str]:
    """The color and the shape of a thing, as far as the other thing has another."""
    one, other = drawing.things[index], drawing.things[1 - index]
    pairs = ((one.color, other.color), (one.shape, other.shape))
    return [word for word, of_other in pairs if word != of_other]


def prompts_for(drawing: Drawing, index: int) -> dict[str, Prompt]:
    """A click on a random pixel of a thing, its box, and a random word that is true of it alone, if there is one."""
    pixels = drawing.masks[index].nonzero()
    found = {
        "click": click(*pixels[torch.randint(len(pixels), ())].tolist()),
        "box": box(drawing.boxes[index]),
    }
    if known := words(drawing, index):
        found["word"] = prompt(known[int(torch.randint(len(known), ()))])
    return found
