"""Drawings of two coloured shapes, with their captions, exact masks and boxes: any number of them, in milliseconds."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

COLORS = {"red": (214, 45, 50), "green": (52, 160, 60), "blue": (48, 92, 204), "yellow": (236, 200, 40)}
SHAPES = ("circle", "square", "triangle")
RELATIONS = ("left of", "right of", "above", "below")
SIZE = 32  # pixels, height and width


@dataclass(frozen=True)
class Thing:
    """A shape around (`row`, `column`) that reaches `radius` pixels in each direction."""

    color: str
    shape: str
    row: float
    column: float
    radius: float


@dataclass(frozen=True)
class Drawing:
    """`image` (3, 32, 32) uint8; `masks` (2, 32, 32) bool, one per thing, which never overlap."""

    image: Tensor
    masks: Tensor
    things: tuple[Thing, Thing]
    relation: str

    @property
    def caption(self) -> str:
        """For example "a red triangle left of a blue circle"; the first thing is `things[0]`."""
        first, second = self.things
        return f"a {first.color} {first.shape} {self.relation} a {second.color} {second.shape}"

    @property
    def boxes(self) -> Tensor:
        """(2, 4): first row, first column, last row and last column of each mask, both inclusive."""
        spans = [(torch.where(mask.any(1))[0], torch.where(mask.any(0))[0]) for mask in self.masks]
        return torch.tensor([[rows[0], columns[0], rows[-1], columns[-1]] for rows, columns in spans])


def drawings(count: int, seed: int, wanted: Callable[[Drawing], bool] = lambda drawing: True) -> list[Drawing]:
    """The first `count` drawings of the `seed` that are `wanted`, for example by their caption."""
    random = np.random.default_rng(seed)
    made: list[Drawing] = []
    while len(made) < count:
        drawing = _draw(random)
        if wanted(drawing):
            made.append(drawing)
    return made


def _draw(random: np.random.Generator) -> Drawing:
    relation = str(random.choice(RELATIONS))
    things = (_thing(relation, 0, random), _thing(relation, 1, random))
    canvas = Image.fromarray(_background(random))
    masks = []
    for thing in things:
        mask = Image.new("1", (SIZE, SIZE))
        _fill(ImageDraw.Draw(mask), thing, 1)
        _fill(ImageDraw.Draw(canvas), thing, _shade(COLORS[thing.color], random))
        masks.append(torch.from_numpy(np.array(mask)))
    image = torch.from_numpy(np.array(canvas)).permute(2, 0, 1).contiguous()
    return Drawing(image, torch.stack(masks), things, relation)


def _thing(relation: str, place: int, random: np.random.Generator) -> Thing:
    """A thing in its half of the image: which half is told by the relation, and whether it is the first of the two."""
    along = 9 if (place == 0) == (relation in ("left of", "above")) else 23
    across = random.uniform(8, 24)
    row, column = (across, along) if relation in ("left of", "right of") else (along, across)
    color, shape = str(random.choice(list(COLORS))), str(random.choice(SHAPES))
    row, column = row + random.uniform(-1.5, 1.5), column + random.uniform(-1.5, 1.5)
    return Thing(color, shape, row, column, random.uniform(3.5, 5))


def _background(random: np.random.Generator) -> np.ndarray:
    """A grey of a random brightness with a slope and noise, so that no single color means "nothing here"."""
    slope = np.linspace(-1, 1, SIZE) * random.uniform(-25, 25)
    grey = random.uniform(70, 200) + slope[:, None] + random.normal(0, 8, (SIZE, SIZE))
    return np.repeat(grey.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)


def _shade(color: tuple[int, int, int], random: np.random.Generator) -> tuple[int, int, int]:
    red, green, blue = (np.array(color) + random.uniform(-20, 20, 3)).clip(0, 255).astype(int).tolist()
    return red, green, blue


def _fill(canvas: ImageDraw.ImageDraw, thing: Thing, color: int | tuple[int, int, int]) -> None:
    row, column, radius = thing.row, thing.column, thing.radius
    box = (column - radius, row - radius, column + radius, row + radius)
    if thing.shape == "circle":
        canvas.ellipse(box, fill=color)
    elif thing.shape == "square":
        canvas.rectangle(box, fill=color)
    else:
        canvas.polygon([(column, box[1]), (box[2], box[3]), (box[0], box[3])], fill=color)
