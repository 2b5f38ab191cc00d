"""Decode once: each split becomes a uint8 array that training memory-maps."""

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from functools import partial, reduce
from itertools import islice
from pathlib import Path

import numpy as np
from tqdm import tqdm

from vit.config.schema import PackParams
from vit.data.engine import engine_address
from vit.data.images import SETTINGS, load_image, packed_size
from vit.data.pool import map_unordered
from vit.data.shards.layout import layout_of, storage_order
from vit.data.shards.store import Store
from vit.data.shards.writing import jobs_of, write_shards
from vit.errors import UserError
from vit.files import iterate_table, read_json, replacing, temporary_folder

WORTH_A_POOL = 2000  # images
CHUNK = 32  # images that a process decodes at a time
SENT_BYTES = 2**20  # that a worker of another machine decodes at a time, and sends
UNITS = ((12, "TB"), (9, "GB"), (6, "MB"), (3, "kB"))  # powers of ten
MEASURED = 10_000  # train images at most, for the channel statistics


def with_value_range(pack: PackParams, found: Path) -> PackParams:
    """Replace auto by the range that the audit found; auto stays if no image has more than 8 bits."""
    if pack.value_range != "auto" or not found.exists():
        return pack
    return pack.model_copy(update={"value_range": read_json(found)})


def part_shape(table: Path, part: str, pack: PackParams) -> tuple[int, int, int, int]:
    """(N, H, W, C) of the images that a split's table lists; train images keep the margin."""
    margin = pack.margin if part == "train" else 0.0
    return sum(1 for _ in iterate_table(table)), *packed_size(pack.image_size, margin), pack.channels


def packed_bytes(shape: tuple[int, int, int, int], pack: PackParams) -> int:
    """Bytes of a split of that shape: its images, if they are packed, and 8 per label and per place in the shards."""
    if pack.mode == "shards":
        return 16 * shape[0] + layout_of(shape, pack.shard_mb).total()
    return 8 * shape[0] + (int(np.prod(shape, dtype=object)) if pack.mode == "arrays" else 0)


def check_space(needed: int, folder: Path) -> int:
    """Free bytes on the disk of `folder`. Raises UserError if they are fewer than `needed`."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"packing needs {needed} bytes ({in_units(needed)}) and the disk of {folder.absolute()} has {free} free "
            f"({in_units(free)}); make pack.image_size smaller, set pack.mode to none, or to shards with a pack.store "
            "elsewhere, or free space"
        )
    return free


def in_units(size: int) -> str:
    """Bytes in a readable unit, e.g. `1.5 GB`."""
    return next(f"{size / 10**power:.1f} {unit}" for power, unit in UNITS if size >= 10**power or power == 3)


def pack_images(raw: Path, table: Path, pack: PackParams, part: str, target: Path) -> None:
    """Write the images that `table` lists, in its order, as a .npy file, uint8 (N, H, W, C).

    The processes write to the file themselves, so that no process holds more than a few images. On an engine, workers
    send at most two chunks each to this process, the only one that writes.
    Raises UserError naming the file if an image is not readable.
    """
    shape = part_shape(table, part, pack)
    with replacing(target) as temporary:
        with temporary.open("wb") as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            start = file.tell()
            file.truncate(start + packed_bytes(shape, pack) - 8 * shape[0])
        paths = (raw / row["path"] for row in iterate_table(table))
        if engine_address():
            counts = _decode_on_engine(paths, shape, temporary, start, _loader(pack, part))
        else:
            write = partial(_write_chunk, target=temporary, start=start, load=_loader(pack, part))
            counts = map_unordered(write, _chunks(paths), _workers(pack.workers, shape[0]))
        with tqdm(total=shape[0], desc=part, unit="image", disable=None) as bar:
            for count in counts:
                bar.update(count)


def pack_shards(raw: Path, table: Path, labels: Path, pack: PackParams, part: str, store: Store, folder: Path) -> None:
    """Write the images that `table` lists, with their `labels`, as shards to `store`; which they are, to `folder`.

    Train images are shuffled, so that each shard is a random sample. Raises UserError as `pack_images`.
    """
    shape = part_shape(table, part, pack)
    layout, order = layout_of(shape, pack.shard_mb), storage_order(shape[0], part)
    paths = [raw / row["path"] for row in iterate_table(table)]
    with temporary_folder(folder / "under_way") as under_way:
        jobs = jobs_of(paths, np.load(labels), order, layout)
        workers = _workers(pack.workers, shape[0])
        index = write_shards(jobs, layout, part, _loader(pack, part), store, under_way, workers)
    with replacing(folder / f"{part}_order.npy") as temporary, temporary.open("wb") as file:
        np.save(file, order)
    index.write(folder / f"{part}_shards.json")


def pack_labels(table: Path, classes: list[str], target: Path) -> None:
    """Write the index in `classes` of each row's label as a .npy file, int64 (N,)."""
    places = {label: place for place, label in enumerate(classes)}
    with replacing(target) as temporary, temporary.open("wb") as file:
        np.save(file, np.fromiter((places[row["label"]] for row in iterate_table(table)), dtype=np.int64))


def _write_chunk(chunk: tuple[int, list[Path]], target: Path, start: int, load: partial) -> int:
    first, paths = chunk
    _write(target, start, first, map(load, paths))
    return len(paths)


def _decode_on_engine(
    paths: Iterable[Path], shape: tuple[int, ...], target: Path, start: int, load: partial
) -> Iterator[int]:
    """Only this process writes: in NFS, machines that write to neighbouring bytes of a file may undo each other's."""
    at_once = max(1, min(CHUNK, SENT_BYTES // int(np.prod(shape[1:]))))
    for first, images in map_unordered(partial(_decode_chunk, load=load), _chunks(paths, at_once), 1):
        _write(target, start, first, images)
        yield len(images)


def _decode_chunk(chunk: tuple[int, list[Path]], load: partial) -> tuple[int, np.ndarray]:
    first, paths = chunk
    return first, np.stack([load(path) for path in paths])


def _write(target: Path, start: int, first: int, images: Iterable[np.ndarray]) -> None:
    """Write images to their places in a file whose image 0 is at `start`, from the `first` place on."""
    try:
        with target.open("r+b") as file:
            for index, image in enumerate(images, first):
                file.seek(start + index * image.nbytes)
                file.write(image.data)
    except OSError as error:  # load raises none: this is the disk
        raise UserError(f"{target}: cannot be written ({error.strerror}); free space on its disk") from error


def _chunks(paths: Iterable[Path], at_once: int = CHUNK) -> Iterator[tuple[int, list[Path]]]:
    paths, first = iter(paths), 0
    while chunk := list(islice(paths, at_once)):
        yield first, chunk
        first += len(chunk)


def _loader(pack: PackParams, part: str) -> partial:
    return partial(load_image, **pack.model_dump(include=set(SETTINGS)), keep_margin=part == "train")


def _workers(asked: int | str, images: int) -> int:
    if isinstance(asked, int):
        return asked
    return (os.cpu_count() or 1) if images >= WORTH_A_POOL else 1


def normalization(pack: PackParams, measure: Callable[[], dict[str, list[float]]]) -> dict[str, list[float]]:
    """`mean` and `std` per channel: those of `pack`, and for `auto` what `measure` returns."""
    given = {name: values for name in ("mean", "std") if (values := getattr(pack, name)) != "auto"}
    return given if len(given) == 2 else measure() | given


def measure_files(raw: Path, table: Path, pack: PackParams) -> dict[str, list[float]]:
    """Channel statistics of the train images that `table` lists, decoded from their files."""
    chosen = set(_evenly_spaced(sum(1 for _ in iterate_table(table))))
    paths = (raw / row["path"] for index, row in enumerate(iterate_table(table)) if index in chosen)
    count = partial(_count_chunk, load=_loader(pack, "train"))
    return _statistics(_sum(map_unordered(count, _chunks(paths), _workers(pack.workers, len(chosen)))))


def measure_packed(path: Path) -> dict[str, list[float]]:
    """Channel statistics of packed images, equal to those of `measure_files`.

    Reads a few images at a time: the pages of a memory map would count as this process's memory.
    """
    with path.open("rb") as file:
        np.lib.format.read_magic(file)
        shape, _, _ = np.lib.format.read_array_header_1_0(file)
        start, size = file.tell(), int(np.prod(shape[1:]))

        def image(index: int) -> np.ndarray:
            file.seek(start + index * size)
            return np.frombuffer(file.read(size), dtype=np.uint8).reshape(shape[1:])

        return channel_statistics(image(index) for index in _evenly_spaced(shape[0]))


def channel_statistics(images: Iterable[np.ndarray]) -> dict[str, list[float]]:
    """Mean and standard deviation per channel of uint8 images (H, W, C), in units of [0, 1].

    A channel that never varies gets the deviation 1, so that normalizing it does not divide by zero.
    """
    return _statistics(_sum(map(_values, images)))


def _evenly_spaced(count: int) -> list[int]:
    """At most MEASURED of the indices below `count`."""
    chosen = min(count, MEASURED)
    return [index * count // chosen for index in range(chosen)]


def _count_chunk(chunk: tuple[int, list[Path]], load: partial) -> np.ndarray:
    return _sum(_values(load(path)) for path in chunk[1])


def _sum(counts: Iterable[np.ndarray]) -> np.ndarray:
    return reduce(np.add, counts)


def _values(image: np.ndarray) -> np.ndarray:
    """How often each of the 256 values occurs, (C, 256): integers, whose sum does not depend on the order."""
    return np.stack([np.bincount(channel, minlength=256) for channel in image.reshape(-1, image.shape[-1]).T])


def _statistics(counts: np.ndarray) -> dict[str, list[float]]:
    values = np.arange(256) / 255
    shares = counts / counts.sum(axis=1, keepdims=True)
    mean = shares @ values
    std = np.sqrt(np.maximum(shares @ values**2 - mean**2, 0))
    return {"mean": mean.round(6).tolist(), "std": np.where(std < 1e-4, 1, std).round(6).tolist()}
