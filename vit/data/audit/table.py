"""What the audit sees of each image, in columns: about 150 bytes an image in memory, the thumbnails in a file."""

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import overload

import numpy as np

from vit.data.values import EIGHT_BITS
from vit.errors import UserError

THUMBNAIL = 24  # pixels, square: enough for one-nearest-neighbour to recognize a scene
VALUES = THUMBNAIL * THUMBNAIL * 3
QUARTER = VALUES // 12  # values of one colour in a quarter of a thumbnail
WORDS = ("format", "kind", "shows_on")  # kept as numbers
FACTS = np.dtype(
    [
        ("width", np.int32), ("height", np.int32), ("bars", np.float64), ("contrast", np.float64),
        ("clipped", np.float64), ("dhash", np.uint64), ("pixels", np.uint8, 32), ("file", np.uint8, 32),
        ("quarters", np.uint16, 12), *((name, np.uint16) for name in WORDS),
    ]
)  # fmt: skip


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
class Packed:
    """Some looks as processes send them: facts (n,), thumbnails uint8 (n, 1728), and the words that numbers mean."""

    facts: np.ndarray
    thumbnails: np.ndarray
    words: list[str]


def packed(looks: Sequence[Look]) -> Packed:
    """The looks in columns; with each thumbnail the sums of its quarters, by colour."""
    words = sorted({getattr(look, name) for look in looks for name in WORDS})
    facts = np.zeros(len(looks), FACTS)
    thumbnails = np.zeros((len(looks), THUMBNAIL, THUMBNAIL, 3), np.uint8)
    for index, look in enumerate(looks):
        thumbnails[index] = look.thumbnail
        for name in ("width", "height", "bars", "contrast", "clipped", "dhash"):
            facts[name][index] = getattr(look, name)
        for name in ("pixels", "file"):
            facts[name][index] = np.frombuffer(bytes.fromhex(getattr(look, name)).ljust(32, b"\0"), np.uint8)
        for name in WORDS:
            facts[name][index] = words.index(getattr(look, name))
    facts["quarters"] = quarters_of(thumbnails)
    return Packed(facts, thumbnails.reshape(len(looks), VALUES), words)


def quarters_of(thumbnails: np.ndarray) -> np.ndarray:
    """The sums of each quarter of thumbnails (n, 24, 24, 3) by colour, uint16 (n, 12)."""
    quarters = thumbnails.reshape(-1, 2, THUMBNAIL // 2, 2, THUMBNAIL // 2, 3).sum(axis=(2, 4), dtype=np.uint16)
    return quarters.reshape(-1, 12)


class Thumbnails:
    """The thumbnails in a file without a name, which goes when this process ends; indexed by positions.

    They are read and not mapped, as the pages of a memory map would count as this process's memory.
    """

    def __init__(self, folder: Path, images: int):
        """`folder` is where the file lies; raises UserError if its disk has no room for so many `images`."""
        self.folder, self.images = folder, images
        self.file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115
        if shutil.disk_usage(folder).free < images * VALUES:
            raise self._no_room("no space left")

    def _no_room(self, why: str | None) -> UserError:
        return UserError(
            f"the audit needs {self.images * VALUES / 1e9:,.1f} GB in {self.folder.absolute()} for the thumbnails of "
            f"{self.images} images: {why}; free some space"
        )

    def __del__(self) -> None:
        self.file.close()

    def write(self, first: int, thumbnails: np.ndarray) -> None:
        written, data = 0, thumbnails.tobytes()
        while written < len(data):
            try:
                written += os.pwrite(self.file.fileno(), data[written:], first * VALUES + written)
            except OSError as error:
                raise self._no_room(error.strerror) from error

    def __getitem__(self, positions: np.ndarray) -> np.ndarray:
        """uint8 (n, 1728) at the positions (n,)."""
        positions = np.asarray(positions)
        if len(positions) and (low := int(positions.min())) + 2 * len(positions) > (high := int(positions.max())):
            return self._read(low, high + 1 - low)[positions - low]
        found = np.empty((len(positions), VALUES), np.uint8)
        for index, position in enumerate(positions.tolist()):
            found[index] = self._read(position, 1)
        return found

    def _read(self, first: int, count: int) -> np.ndarray:
        data = bytearray()
        while len(data) < count * VALUES:  # one call reads 2 GB at most
            data += os.pread(self.file.fileno(), count * VALUES - len(data), first * VALUES + len(data))
        return np.frombuffer(data, np.uint8).reshape(count, VALUES)


class Looks(Sequence[Look]):
    """Looks in a table that other selections of its rows share; `at` holds the rows (N,) of this one."""

    def __init__(self, facts: np.ndarray, thumbnails: Thumbnails, words: list[str], at: np.ndarray):
        self._facts, self._thumbnails, self._words, self._at = facts, thumbnails, words, at

    @classmethod
    def empty(cls, images: int, folder: Path) -> "Looks":
        """A table for so many images, to `fill`; the thumbnails are in `folder`."""
        return cls(np.zeros(images, FACTS), Thumbnails(folder, images), [], np.arange(images))

    @classmethod
    def of(cls, looks: Iterable[Look]) -> "Looks":
        looks = list(looks)
        table = cls.empty(len(looks), Path(tempfile.gettempdir()))
        table.fill(np.arange(len(looks)), packed(looks))
        return table

    def fill(self, rows: np.ndarray, found: Packed) -> None:
        """Write looks to ascending rows (n,) of a table that nothing was selected from."""
        numbers = np.array([self._number(word) for word in found.words], np.uint16)
        facts = found.facts.copy()
        for name in WORDS:
            facts[name] = numbers[facts[name]]
        self._facts[rows] = facts
        for first, one in _runs(rows):
            self._thumbnails.write(first, found.thumbnails[one])

    def _number(self, word: str) -> int:
        if word not in self._words:
            self._words.append(word)
        return self._words.index(word)

    def only(self, keep: Sequence[int] | np.ndarray) -> "Looks":
        """The looks at these positions."""
        return Looks(self._facts, self._thumbnails, self._words, self._at[np.asarray(keep, dtype=int)])

    def joined(self, others: "Looks") -> "Looks":
        """These, then the others, in a new table; only a few others are expected."""
        count, more = len(self._facts), packed(list(others))
        facts = np.concatenate([self._facts, np.zeros(len(others), FACTS)])
        table = Looks(facts, self._thumbnails, self._words, self._at)
        rows = np.arange(count, count + len(others))
        table.fill(rows, more)
        table._at = np.concatenate([self._at, rows])
        return table

    def column(self, name: str) -> np.ndarray:
        """One of the FACTS that are no words (N,), or (N, 32) for digests and (N, 12) for the sums of quarters."""
        return self._facts[name][self._at]

    def counted(self, name: str) -> Counter[str]:
        """How often each of the WORDS occurs, in the order of their first image."""
        numbers, first, counts = np.unique(self._facts[name][self._at], return_index=True, return_counts=True)
        order = np.argsort(first)
        return Counter({self._words[numbers[i]]: int(counts[i]) for i in order})

    def words(self, name: str) -> Iterator[str]:
        return (self._words[number] for number in self._facts[name][self._at].tolist())

    def thumbnails(self, positions: np.ndarray) -> np.ndarray:
        """uint8 (n, 1728) at these positions (n,)."""
        return self._thumbnails[self._at[positions]]

    def __len__(self) -> int:
        return len(self._at)

    @overload
    def __getitem__(self, index: int) -> Look: ...
    @overload
    def __getitem__(self, index: slice) -> "Looks": ...
    def __getitem__(self, index):
        if isinstance(index, slice):
            return Looks(self._facts, self._thumbnails, self._words, self._at[index])
        row = self._at[index]
        facts = self._facts[row]
        return Look(
            thumbnail=self._thumbnails[self._at[[index]]].reshape(THUMBNAIL, THUMBNAIL, 3),
            pixels=facts["pixels"].tobytes().hex(),
            file=facts["file"].tobytes().hex(),
            **{name: facts[name].item() for name in ("width", "height", "bars", "contrast", "clipped", "dhash")},
            **{name: self._words[facts[name]] for name in WORDS},
        )


def _runs(rows: np.ndarray) -> Iterator[tuple[int, slice]]:
    """The first row and the slice of each run of consecutive rows."""
    cuts = [0, *(np.flatnonzero(np.diff(rows) != 1) + 1).tolist(), len(rows)]
    return ((int(rows[start]), slice(start, end)) for start, end in pairwise(cuts) if start < end)
