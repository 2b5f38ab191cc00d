"""Decode once: each part of the split becomes a uint8 array that training memory-maps."""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from vit.data.images import load_image
from vit.data.manifest import Row
from vit.files import replacing
from vit.params import PackParams

WORTH_A_POOL = 2000


def pack_part(raw: Path, rows: list[Row], classes: list[str], pack: PackParams, images_path: Path, labels_path: Path):
    """Write images uint8 (N, H, W, C) and labels int64 (N,) in the order of `rows`, as .npy files."""
    shape = (len(rows), *pack.image_size, pack.channels)
    with replacing(images_path) as temporary:
        packed = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape)
        paths = [raw / row.path for row in rows]
        decoded = tqdm(_decode(paths, pack), total=len(rows), desc=images_path.stem, unit="image", disable=None)
        for index, image in enumerate(decoded):
            packed[index] = image
        packed.flush()
    labels = np.array([classes.index(row.label) for row in rows], dtype=np.int64)
    with replacing(labels_path) as temporary, temporary.open("wb") as file:
        np.save(file, labels)


def _decode(paths: list[Path], pack: PackParams) -> Iterator[np.ndarray]:
    load = partial(load_image, image_size=pack.image_size, channels=pack.channels, fit=pack.fit)
    workers = _workers(pack.workers, len(paths))
    if workers == 1:
        yield from map(load, paths)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(load, paths, chunksize=32)


def _workers(asked: int | str, images: int) -> int:
    if asked != "auto":
        return asked
    return (os.cpu_count() or 1) if images >= WORTH_A_POOL else 1


def channel_statistics(images: Iterable[np.ndarray]) -> dict[str, list[float]]:
    """Mean and standard deviation per channel of uint8 images (H, W, C), in units of [0, 1].

    A channel that never varies gets the deviation 1, so that normalizing it does not divide by zero.
    """
    count, total, squares = 0, 0.0, 0.0
    for image in images:
        pixels = image.reshape(-1, image.shape[-1]).astype(np.float64) / 255
        count += len(pixels)
        total += pixels.sum(axis=0)
        squares += (pixels**2).sum(axis=0)
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 0))
    return {"mean": mean.round(6).tolist(), "std": np.where(std < 1e-4, 1, std).round(6).tolist()}
