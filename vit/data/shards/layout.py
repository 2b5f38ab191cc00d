"""Shards: plain tar files as WebDataset reads them, laid out so that every image lies at a computable place.

Each image is two members, `000000042.npy` (uint8 pixels) and `000000042.cls` (its label as a number). All images of a
split have one shape, so all take the same number of bytes, and a shard can be memory-mapped like an array.
Format: Aizman et al. 2019, "High Performance I/O For Large Scale Deep Learning".
"""

import io
import tarfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from math import ceil
from pathlib import Path
from typing import BinaryIO

import numpy as np

from vit.files import read_json, write_json

BLOCK = tarfile.BLOCKSIZE


@dataclass(frozen=True)
class Layout:
    """Where images (H, W, C) lie in a shard: `images` in each but the last of `count` images in all."""

    shape: tuple[int, int, int]
    images: int
    count: int

    @property
    def header(self) -> bytes:
        """What precedes the pixels in a .npy file."""
        stream = io.BytesIO()
        np.lib.format.write_array_header_1_0(stream, {"descr": "|u1", "fortran_order": False, "shape": self.shape})
        return stream.getvalue()

    @property
    def pixels(self) -> int:
        return int(np.prod(self.shape))

    @property
    def first(self) -> int:
        """Bytes before the pixels of the first image."""
        return BLOCK + len(self.header)

    @property
    def stride(self) -> int:
        """Bytes from one image to the next: two members, each a header and its content in whole blocks."""
        return 3 * BLOCK + ceil((len(self.header) + self.pixels) / BLOCK) * BLOCK

    @property
    def shards(self) -> int:
        return ceil(self.count / self.images)

    def in_shard(self, number: int) -> int:
        """The number of images in a shard."""
        return min(self.images, self.count - number * self.images)

    def bytes_in(self, number: int) -> int:
        """The size of a shard: its images and two empty blocks, filled up as tar does."""
        return ceil((self.in_shard(number) * self.stride + 2 * BLOCK) / tarfile.RECORDSIZE) * tarfile.RECORDSIZE

    @property
    def largest(self) -> int:
        """The size of the first shard, which no other exceeds."""
        return self.bytes_in(0)

    def total(self) -> int:
        return sum(self.bytes_in(number) for number in range(self.shards))

    def map(self, file: Path, number: int) -> np.ndarray:
        """The images of a shard, uint8 (n, H, W, C), memory-mapped; nothing is read yet."""
        content = np.asarray(np.memmap(file, dtype=np.uint8, mode="r"))
        _, width, channels = self.shape
        strides = (self.stride, width * channels, channels, 1)
        shape = (self.in_shard(number), *self.shape)
        return np.ndarray(shape, np.uint8, content, self.first, strides)

    def write(self, file: BinaryIO, members: Iterable[tuple[int, np.ndarray, int]]) -> None:
        """Write a shard of (name, image, label); equal members give equal bytes."""
        with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for name, image, label in members:
                for suffix, content in (("npy", self.header + image.tobytes()), ("cls", str(label).encode())):
                    entry = tarfile.TarInfo(f"{name:09d}.{suffix}")
                    entry.size = len(content)
                    tar.addfile(entry, io.BytesIO(content))


def layout_of(shape: tuple[int, int, int, int], shard_mb: float) -> Layout:
    """The layout of images (N, H, W, C) in shards of at most `shard_mb` MB, or of one image where that is more."""
    one = Layout(shape[1:], 1, 1)
    images = max(1, int((shard_mb * 1e6 - tarfile.RECORDSIZE) // one.stride))
    return Layout(shape[1:], min(images, shape[0]), shape[0])


@dataclass(frozen=True)
class Index:
    """The shards of a split: their layout, and the name and SHA-256 of each."""

    layout: Layout
    names: list[str]
    digests: list[str]

    def write(self, path: Path) -> None:
        layout = asdict(self.layout) | {"first": self.layout.first, "stride": self.layout.stride}
        shards = [
            {"name": name, "sha256": digest, "bytes": self.layout.bytes_in(number)}
            for number, (name, digest) in enumerate(zip(self.names, self.digests, strict=True))
        ]
        write_json(path, {"layout": layout, "shards": shards})

    @classmethod
    def read(cls, path: Path) -> "Index":
        content = read_json(path)
        layout, shards = content["layout"], content["shards"]
        return cls(
            Layout(tuple(layout["shape"]), layout["images"], layout["count"]),
            [shard["name"] for shard in shards],
            [shard["sha256"] for shard in shards],
        )


def storage_order(count: int, part: str) -> np.ndarray:
    """Which row of the split's table each place in the shards holds, int64 (N,): train is shuffled once, here.

    Every shard is then a random sample of train, with all classes, so that a few of them at a time mix well.
    """
    if part != "train":
        return np.arange(count)
    return np.random.RandomState(0).permutation(count)  # the generator whose draws NumPy promises to keep
