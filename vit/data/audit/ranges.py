"""The value range of a data set with images of more than 8 bits: measured once, and the same for all of them."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ImageFile

from vit.data.formats import open_image
from vit.data.images import is_range
from vit.data.values import EIGHT_BITS, find_range, kind_of, read_values

SAMPLED = 4_000_000  # values of all images together,
AT_LEAST = 256  # and of each one


@dataclass(frozen=True)
class Sample:
    """A random sample of one image's values without NaN, and the smallest, the largest and the missing number of all
    its values."""

    kind: str
    values: np.ndarray
    low: float
    high: float
    missing: float


@dataclass(frozen=True)
class Scale:
    """How a data set's values became 0 to 255: `value_range` and its `rule`, the `kinds` of values with their number of
    images, the smallest and the largest value `found`, and the share of `missing` pixels."""

    value_range: list[int] | list[float]
    rule: str
    kinds: dict[str, int]
    found: tuple[float, float]
    missing: float

    @classmethod
    def of(cls, samples: list[Sample], value_range: list[int] | list[float], rule: str) -> "Scale":
        known = [one for one in samples if one.missing < 1]
        return cls(
            value_range=value_range,
            rule=rule,
            kinds=dict(Counter(one.kind for one in samples).most_common()),
            found=(min(one.low for one in known), max(one.high for one in known)) if known else (0.0, 0.0),
            missing=float(np.mean([one.missing for one in samples])),
        )


def sample(image: ImageFile.ImageFile, path: Path, images: int) -> Sample | None:
    """Values of an opened image of more than 8 bits in a data set of this many images; None for all others."""
    kind = kind_of(image)
    if kind == EIGHT_BITS:
        return None
    pixels = read_values(image, lambda: open_image(path)).pixels.ravel()
    known = pixels[np.isfinite(pixels)]
    count = max(AT_LEAST, SAMPLED // images)
    chosen = known if len(known) <= count else known[np.random.default_rng(0).integers(0, len(known), count)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (np.inf, -np.inf)
    return Sample(kind, chosen.astype(np.float64), low, high, 1 - len(known) / len(pixels))


def found_range(samples: list[Sample], asked: list[int] | list[float] | str) -> tuple[list, str]:
    """The range of the whole data set, and its rule; `asked` is pack.value_range."""
    if is_range(asked):
        return list(asked), "set by pack.value_range"
    are_whole = not any(one.kind == "floating point" for one in samples)
    return find_range(np.concatenate([one.values for one in samples]), are_whole)
