"""Decode every image once: is it readable, which pixels does it have, and what do its thumbnail and hash look like."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from tqdm import tqdm

from vit.data.audit.ranges import Sample, Scale, found_range, sample
from vit.data.formats import SUFFIXES
from vit.data.images import BACKGROUNDS, Picture, content_box, decode, opened, picture_of
from vit.data.manifest import Row
from vit.data.pool import map_unordered
from vit.data.values import EIGHT_BITS
from vit.errors import UserError

THUMBNAIL = 24  # pixels, square: enough for one-nearest-neighbour to recognize a scene
HASH_ROWS = 8
WORTH_A_POOL = 200  # images
CHUNK = 32  # images that a process takes at a time
FLAT = 1.0  # of 255: an image with a smaller deviation of grey levels counts as one colour


class Drawn(NamedTuple):
    """How a file's values become a picture, as in `load_image`."""

    value_range: list[int] | list[float] | str = "auto"
    background: str = "white"


AS_THEY_ARE = Drawn()


@dataclass(frozen=True)
class Look:
    """The facts about one image.

    `pixels` is a digest of the decoded image, `thumbnail` uint8 (24, 24, 3), `dhash` a 64-bit difference hash
    (each bit: is the right one of two neighbours brighter), `bars` the share of the area that is black border,
    `file` the sha256 of the file's bytes, which no other version of a decoder changes, `contrast` the standard
    deviation of its grey levels, `kind` and `clipped` as of `Picture`, `shows_on` another background on which it is
    not FLAT, if it is on this one.
    """

    format: str
    width: int
    height: int
    bars: float
    pixels: str
    dhash: int
    thumbnail: np.ndarray
    file: str
    contrast: float = 255.0
    kind: str = EIGHT_BITS
    clipped: float = 0.0
    shows_on: str = ""


@dataclass(frozen=True)
class Scan:
    """Readable images with what they show, side by side, and the unreadable ones with the reason.

    `scale` says what range the values of images of more than 8 bits have; None if there are none.
    """

    rows: list[Row]
    looks: list[Look]
    broken: list[tuple[Row, str]]
    drawn: Drawn = AS_THEY_ARE
    scale: Scale | None = None

    def only(self, keep: list[int]) -> "Scan":
        """The readable images at these positions."""
        return replace(self, rows=[self.rows[i] for i in keep], looks=[self.looks[i] for i in keep])

    @property
    def thumbnails(self) -> np.ndarray:
        """uint8 (N, 24, 24, 3)."""
        return np.stack([look.thumbnail for look in self.looks])

    @property
    def hashes(self) -> np.ndarray:
        """uint64 (N,)."""
        return np.array([look.dhash for look in self.looks], dtype=np.uint64)


def scan(raw: Path, rows: list[Row], processes: int | None = None, drawn: Drawn = AS_THEY_ARE) -> Scan:
    """Decode every image once, on all cores if there are many; the order stays.

    Images of more than 8 bits are read twice: their values first, which decide the range for all of them.
    """
    workers = (processes or os.cpu_count() or 1) if len(rows) >= WORTH_A_POOL else 1
    paths = [raw / row.path for row in rows]
    answers = dict(enumerate(_all_of(paths, partial(_sample_or_look, drawn=drawn, images=len(rows)), workers, "audit")))
    samples = {index: answer for index, answer in answers.items() if isinstance(answer, Sample)}
    scale = None
    if samples:
        value_range, rule = found_range(list(samples.values()), drawn.value_range)
        drawn = drawn._replace(value_range=value_range)
        scale = Scale.of(list(samples.values()), value_range, rule)
        deep = [paths[index] for index in samples]
        answers |= zip(samples, _all_of(deep, partial(look, drawn=drawn), workers, "scaled"), strict=True)
    seen = [(row, answers[index]) for index, row in enumerate(rows)]
    return Scan(
        rows=[row for row, answer in seen if isinstance(answer, Look)],
        looks=[answer for _, answer in seen if isinstance(answer, Look)],
        broken=[(row, answer) for row, answer in seen if isinstance(answer, str)],
        drawn=drawn,
        scale=scale,
    )


def _all_of(paths: list[Path], job: Callable[[Path], Look | Sample], workers: int, title: str) -> list:
    """The result of `job` for each path, in order; a string says why an image is not readable."""
    answers: dict[int, list[Look | Sample | str]] = {}
    chunks = ((start, paths[start : start + CHUNK]) for start in range(0, len(paths), CHUNK))
    with tqdm(total=len(paths), desc=title, unit="image", disable=None) as bar:
        for start, found in map_unordered(partial(_chunk, job=job), chunks, workers):
            answers[start] = found
            bar.update(len(found))
    return [answer for start in sorted(answers) for answer in answers[start]]


def _chunk(chunk: tuple[int, list[Path]], job: Callable[[Path], Look | Sample]) -> tuple[int, list]:
    start, paths = chunk
    return start, [_answer_or_reason(path, job) for path in paths]


def _answer_or_reason(path: Path, job: Callable[[Path], Look | Sample]) -> Look | Sample | str:
    try:
        return job(path)
    except UserError as error:
        return str(error).removeprefix(f"{path}: ")


def _sample_or_look(path: Path, drawn: Drawn, images: int) -> Look | Sample:
    with opened(path) as image:
        if found := sample(image, path, images):
            return found
        picture = picture_of(image, path, "RGB", *drawn)
    return _look_at(path, picture, drawn)


def look(path: Path, drawn: Drawn = AS_THEY_ARE) -> Look:
    """Decode one image file. Raises UserError if it is not a readable image."""
    return _look_at(path, decode(path, "RGB", None, *drawn), drawn)


def _look_at(path: Path, picture: Picture, drawn: Drawn) -> Look:
    image, name, kind, clipped = picture
    grey = image.convert("L")
    brightness = np.asarray(grey.resize((HASH_ROWS + 1, HASH_ROWS), Image.Resampling.BOX), dtype=np.int16)
    bits = np.packbits(brightness[:, 1:] > brightness[:, :-1])
    left, top, right, bottom = content_box(grey)
    contrast = _contrast(grey)
    return Look(
        format=name,
        width=image.width,
        height=image.height,
        bars=1 - (right - left) * (bottom - top) / (image.width * image.height),
        pixels=hashlib.sha256(f"{image.size}".encode() + image.tobytes()).hexdigest(),
        dhash=int.from_bytes(bits.tobytes()),
        thumbnail=np.asarray(image.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)),
        file=hashlib.sha256(path.read_bytes()).hexdigest(),
        contrast=contrast,
        kind=kind,
        clipped=clipped,
        shows_on=_other_ground(path, drawn) if contrast < FLAT else "",
    )


def _contrast(grey: Image.Image) -> float:
    """Standard deviation of the grey levels of an image in mode "L"."""
    counts = np.array(grey.histogram(), dtype=np.float64)
    levels = np.arange(256)
    mean = counts @ levels / counts.sum()
    return float(np.sqrt(counts @ np.square(levels - mean) / counts.sum()))


def _other_ground(path: Path, drawn: Drawn) -> str:
    """The background on which a transparent image has the most contrast; empty if it is flat on all of them."""
    contrasts = {
        ground: _contrast(decode(path, "L", None, drawn.value_range, ground).image)
        for ground in BACKGROUNDS
        if ground != drawn.background
    }
    best = max(contrasts, key=contrasts.__getitem__)
    return best if contrasts[best] >= FLAT else ""


def misnamed(scan: Scan) -> list[tuple[str, str]]:
    """Paths whose ending belongs to another format than their bytes, with the bytes' format; they are read anyway.

    Cameras write MPO, a JPEG followed by further pictures, as .jpg; that is not a wrong name. An ending that belongs to
    no format, or no ending at all, is not a wrong name either.
    """
    endings = {ending: name for ending, name in Image.registered_extensions().items() if ending in SUFFIXES}
    pairs = [(row.path, look.format) for row, look in zip(scan.rows, scan.looks, strict=True)]
    return [
        (path, name)
        for path, name in pairs
        if endings.get(Path(path).suffix.lower(), name) not in (name, "JPEG" if name == "MPO" else name)
    ]
