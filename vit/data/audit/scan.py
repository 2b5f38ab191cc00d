"""Decode every image once: is it readable, which pixels does it have, and what do its thumbnail and hash look like."""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from tqdm import tqdm

from vit.data.audit.ranges import Sample, Scale, found_range, sample
from vit.data.audit.table import THUMBNAIL, Look, Looks, Packed, packed
from vit.data.engine import engine_address
from vit.data.formats import SUFFIXES
from vit.data.images import BACKGROUNDS, Picture, content_box, decode, opened, picture_of
from vit.data.manifest import Row
from vit.data.pool import map_unordered
from vit.errors import UserError

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
class Scan:
    """Readable images with what they show, side by side, and the unreadable ones with the reason.

    `scale` says what range the values of images of more than 8 bits have; None if there are none.
    """

    rows: list[Row]
    looks: Looks
    broken: list[tuple[Row, str]]
    drawn: Drawn = AS_THEY_ARE
    scale: Scale | None = None

    def only(self, keep: Sequence[int] | np.ndarray) -> "Scan":
        """The readable images at these positions."""
        return replace(self, rows=[self.rows[i] for i in keep], looks=self.looks.only(keep))

    @property
    def thumbnails(self) -> np.ndarray:
        """uint8 (N, 24, 24, 3), all of them in memory."""
        return self.looks.thumbnails(np.arange(len(self.looks))).reshape(-1, THUMBNAIL, THUMBNAIL, 3)

    @property
    def hashes(self) -> np.ndarray:
        """uint64 (N,)."""
        return self.looks.column("dhash")


def scan(raw: Path, rows: list[Row], processes: int | None = None, drawn: Drawn = AS_THEY_ARE) -> Scan:
    """Decode every image once, on all cores if there are many; the order stays.

    Images of more than 8 bits are read twice: their values first, which decide the range for all of them.
    """
    workers = (processes or os.cpu_count() or 1) if len(rows) >= WORTH_A_POOL else 1
    paths = _Paths(raw, rows)
    looks = Looks.empty(len(rows), raw.parent)
    read = partial(_sample_or_look, drawn=drawn, images=len(rows))
    without = _fill(looks, paths, range(len(rows)), read, workers, "audit")
    samples = {index: answer for index, answer in sorted(without.items()) if isinstance(answer, Sample)}
    reasons = {index: answer for index, answer in without.items() if isinstance(answer, str)}
    scale = None
    if samples:
        value_range, rule = found_range(list(samples.values()), drawn.value_range)
        drawn = drawn._replace(value_range=value_range)
        scale = Scale.of(list(samples.values()), value_range, rule)
        again = _fill(looks, paths, list(samples), partial(look, drawn=drawn), workers, "scaled")
        reasons |= {index: answer for index, answer in again.items() if isinstance(answer, str)}
    keep = np.delete(np.arange(len(rows)), list(reasons))
    return Scan(
        rows=[rows[index] for index in keep.tolist()] if reasons else rows,
        looks=looks.only(keep),
        broken=[(rows[index], reason) for index, reason in sorted(reasons.items())],
        drawn=drawn,
        scale=scale,
    )


class _Paths(NamedTuple):
    """The paths of images by number: a million at once would take a gigabyte."""

    raw: Path
    rows: list[Row]

    def chunks(self, numbers: Sequence[int]) -> Iterator[tuple[Sequence[int], list[Path]]]:
        for start in range(0, len(numbers), CHUNK):
            chosen = numbers[start : start + CHUNK]
            yield chosen, [self.raw / self.rows[number].path for number in chosen]


def _fill(
    looks: Looks, paths: _Paths, numbers: Sequence[int], job: Callable[[Path], Look | Sample], workers: int, title: str
) -> dict[int, Sample | str]:
    """Write the look of each numbered image to its row; returned are other answers of `job`, and why it failed."""
    without: dict[int, Sample | str] = {}
    with tqdm(total=len(numbers), desc=title, unit="image", disable=None) as bar:
        for chosen, seen, others in map_unordered(partial(_chunk, job=job), paths.chunks(numbers), workers):
            rows = [number for place, number in enumerate(chosen) if place not in others]
            looks.fill(np.array(rows, dtype=int), seen)
            without |= {chosen[place]: answer for place, answer in others.items()}
            bar.update(len(chosen))
    if engine_address():
        _read_again({number: answer for number, answer in without.items() if isinstance(answer, str)}, paths, job)
    return without


def _read_again(unreadable: dict[int, str], paths: _Paths, job: Callable[[Path], Look | Sample]) -> None:
    """Raises UserError if this machine can read an image that a worker could not: nothing was wrong with the image."""
    for number, reason in unreadable.items():
        path = paths.raw / paths.rows[number].path
        if _answer_or_reason(path, job) != reason:
            raise UserError(
                f"{path}: {reason}, says a worker, but this machine can read it; let all workers read the files of "
                f"{paths.raw}, also those that links point to"
            )


def _chunk(
    chunk: tuple[Sequence[int], list[Path]], job: Callable[[Path], Look | Sample]
) -> tuple[Sequence[int], Packed, dict[int, Sample | str]]:
    """The looks of some images, packed, and by its place each answer that is none."""
    numbers, paths = chunk
    answers = [_answer_or_reason(path, job) for path in paths]
    others = {place: answer for place, answer in enumerate(answers) if not isinstance(answer, Look)}
    return numbers, packed([answer for answer in answers if isinstance(answer, Look)]), others


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
    pairs = ((row.path, name) for row, name in zip(scan.rows, scan.looks.words("format"), strict=True))
    return [
        (path, name)
        for path, name in pairs
        if endings.get(Path(path).suffix.lower(), name) not in (name, "JPEG" if name == "MPO" else name)
    ]
