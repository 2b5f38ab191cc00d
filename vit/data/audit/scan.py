"""One look at every image: can it be decoded, what are its pixels, and how does it look from afar."""

import hashlib
import os
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from vit.data.images import SUFFIXES, content_box, decode
from vit.data.manifest import Row
from vit.data.pool import map_unordered
from vit.errors import UserError

THUMBNAIL = 24  # pixels, square: enough for one-nearest-neighbour to know a scene again
HASH_ROWS = 8
WORTH_A_POOL = 200  # images
CHUNK = 32  # images that a process looks at, at a time


@dataclass(frozen=True)
class Look:
    """What one image shows.

    `pixels` is a digest of the decoded image, `thumbnail` uint8 (24, 24, 3), `dhash` a 64-bit difference hash
    (each bit: is the right one of two neighbours brighter), `bars` the share of the area that is black border,
    `file` the sha256 of the file's bytes, which no other version of a decoder changes.
    """

    format: str
    width: int
    height: int
    bars: float
    pixels: str
    dhash: int
    thumbnail: np.ndarray
    file: str


@dataclass(frozen=True)
class Scan:
    """Readable images with what they show, side by side, and the unreadable ones with the reason."""

    rows: list[Row]
    looks: list[Look]
    broken: list[tuple[Row, str]]

    def only(self, keep: list[int]) -> "Scan":
        """The readable images at these positions."""
        return Scan([self.rows[i] for i in keep], [self.looks[i] for i in keep], self.broken)

    @property
    def thumbnails(self) -> np.ndarray:
        """uint8 (N, 24, 24, 3)."""
        return np.stack([look.thumbnail for look in self.looks])

    @property
    def hashes(self) -> np.ndarray:
        """uint64 (N,)."""
        return np.array([look.dhash for look in self.looks], dtype=np.uint64)


def scan(raw: Path, rows: list[Row], processes: int | None = None) -> Scan:
    """Decode every image once, on all cores if there are many; the order stays."""
    answers: dict[int, list[Look | str]] = {}
    chunks = ((start, [raw / row.path for row in rows[start : start + CHUNK]]) for start in range(0, len(rows), CHUNK))
    workers = (processes or os.cpu_count() or 1) if len(rows) >= WORTH_A_POOL else 1
    with tqdm(total=len(rows), desc="audit", unit="image", disable=None) as bar:
        for start, looks in map_unordered(_look_at_chunk, chunks, workers):
            answers[start] = looks
            bar.update(len(looks))
    seen = list(zip(rows, chain.from_iterable(answers[start] for start in sorted(answers)), strict=True))
    return Scan(
        rows=[row for row, answer in seen if isinstance(answer, Look)],
        looks=[answer for _, answer in seen if isinstance(answer, Look)],
        broken=[(row, answer) for row, answer in seen if isinstance(answer, str)],
    )


def _look_at_chunk(chunk: tuple[int, list[Path]]) -> tuple[int, list[Look | str]]:
    start, paths = chunk
    return start, [_look_or_reason(path) for path in paths]


def _look_or_reason(path: Path) -> Look | str:
    try:
        return look(path)
    except UserError as error:
        return str(error).removeprefix(f"{path}: ")


def look(path: Path) -> Look:
    """Decode one image file. Raises UserError if it is no readable image."""
    image, name = decode(path, "RGB")
    grey = image.convert("L")
    brightness = np.asarray(grey.resize((HASH_ROWS + 1, HASH_ROWS), Image.Resampling.BOX), dtype=np.int16)
    bits = np.packbits(brightness[:, 1:] > brightness[:, :-1])
    left, top, right, bottom = content_box(grey)
    return Look(
        format=name,
        width=image.width,
        height=image.height,
        bars=1 - (right - left) * (bottom - top) / (image.width * image.height),
        pixels=hashlib.sha256(f"{image.size}".encode() + image.tobytes()).hexdigest(),
        dhash=int.from_bytes(bits.tobytes()),
        thumbnail=np.asarray(image.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)),
        file=hashlib.sha256(path.read_bytes()).hexdigest(),
    )


def misnamed(scan: Scan) -> list[tuple[str, str]]:
    """Paths whose ending belongs to another format than their bytes, with that format; they are read all the same.

    Cameras write MPO, a JPEG with further pictures behind it, as .jpg; that is no wrong name.
    """
    endings = {ending: name for ending, name in Image.registered_extensions().items() if ending in SUFFIXES}
    pairs = [(row.path, look.format) for row, look in zip(scan.rows, scan.looks, strict=True)]
    return [
        (path, name)
        for path, name in pairs
        if endings.get(Path(path).suffix.lower()) != ("JPEG" if name == "MPO" else name)
    ]
