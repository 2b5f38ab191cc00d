"""One look at every image: can it be decoded, what are its pixels, and how does it look from afar."""

import hashlib
import os
from dataclasses import dataclass
from functools import partial
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
WORTH_A_POOL, IMAGES_AT_ONCE = 500, 64


@dataclass(frozen=True)
class Look:
    """What one image shows.

    `pixels` is a digest of the decoded image, `thumbnail` uint8 (24, 24, 3), `dhash` a 64-bit difference hash
    (each bit: is the right one of two neighbours brighter), `bars` the share of the area that is black border.
    """

    format: str
    width: int
    height: int
    bars: float
    pixels: str
    dhash: int
    thumbnail: np.ndarray


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
    readable: list[Row] = []
    looks: list[Look] = []
    broken: list[tuple[Row, str]] = []
    answers = _looks(raw, [row.path for row in rows], processes or os.cpu_count() or 1)
    for row, answer in zip(rows, answers, strict=True):
        if isinstance(answer, Look):
            readable.append(row)
            looks.append(answer)
        else:
            broken.append((row, answer))
    return Scan(readable, looks, broken)


def _looks(raw: Path, paths: list[str], processes: int) -> list[Look | str]:
    """What each image shows, or why it cannot be read."""
    workers = processes if len(paths) >= WORTH_A_POOL else 1
    chunks = [(start, paths[start : start + IMAGES_AT_ONCE]) for start in range(0, len(paths), IMAGES_AT_ONCE)]
    found: dict[int, list[Look | str]] = {}
    with tqdm(total=len(paths), desc="audit", unit="image", disable=None) as bar:
        for start, looks in map_unordered(partial(_look_at_some, raw), chunks, workers):
            found[start] = looks
            bar.update(len(looks))
    return [look for start, _ in chunks for look in found[start]]


def _look_at_some(raw: Path, chunk: tuple[int, list[str]]) -> tuple[int, list[Look | str]]:
    start, paths = chunk
    return start, [_look(raw, path) for path in paths]


def _look(raw: Path, path: str) -> Look | str:
    try:
        return look(raw / path)
    except UserError as error:
        return str(error).removeprefix(f"{raw / path}: ")


def look(path: Path) -> Look:
    """Decode one image file. Raises UserError if it is no readable image."""
    image, name = decode(path, "RGB")
    grey = image.convert("L").resize((HASH_ROWS + 1, HASH_ROWS), Image.Resampling.BOX)
    brightness = np.asarray(grey, dtype=np.int16)
    bits = np.packbits(brightness[:, 1:] > brightness[:, :-1])
    left, top, right, bottom = content_box(image)
    return Look(
        format=name,
        width=image.width,
        height=image.height,
        bars=1 - (right - left) * (bottom - top) / (image.width * image.height),
        pixels=hashlib.blake2b(f"{image.size}".encode() + image.tobytes(), digest_size=16).hexdigest(),
        dhash=int.from_bytes(bits.tobytes()),
        thumbnail=np.asarray(image.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)),
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
