"""Write a split as shards: decoded by several processes, each shard moved to the store when it is complete."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from uuid import uuid4

import numpy as np
from tqdm import tqdm

from vit.data.pool import map_unordered
from vit.data.shards.layout import Index, Layout
from vit.data.shards.store import Store
from vit.errors import UserError


@dataclass(frozen=True)
class Job:
    """One shard to write: per image its row in the table, its file and its label."""

    number: int
    members: list[tuple[int, Path, int]]


def jobs_of(paths: list[Path], labels: np.ndarray, order: np.ndarray, layout: Layout) -> Iterator[Job]:
    for number in range(layout.shards):
        rows = order[number * layout.images : (number + 1) * layout.images].tolist()
        yield Job(number, [(row, paths[row], int(labels[row])) for row in rows])


def write_shards(
    jobs: Iterator[Job], layout: Layout, part: str, load: partial, store: Store, folder: Path, workers: int
) -> Index:
    """Write each job's shard to `store` unless it is there already; `folder` holds those under way.

    A shard's name holds its digest, so that no packing overwrites what another one refers to.
    Raises UserError naming the file if an image is not readable, or the store if it cannot be written.
    """
    names, digests = [""] * layout.shards, [""] * layout.shards
    write = partial(_write_shard, layout=layout, part=part, load=load, store=store, there=store.sizes(), folder=folder)
    with tqdm(total=layout.count, desc=part, unit="image", disable=None) as bar:
        for number, name, digest in map_unordered(write, jobs, workers):
            names[number], digests[number] = name, digest
            bar.update(layout.in_shard(number))
    if lost := set(names) - store.sizes().keys():
        raise UserError(f"{min(lost)} was written but is not in {store}; all workers must write to the same store")
    return Index(layout, names, digests)


def _write_shard(
    job: Job, layout: Layout, part: str, load: partial, store: Store, there: dict[str, int], folder: Path
) -> tuple[int, str, str]:
    # A worker that was given up may still write the same shard as the one that does its work again.
    file = folder / f"{part}-{job.number:06d}.{uuid4().hex}.tar"
    try:
        with file.open("wb") as stream:
            layout.write(stream, ((row, load(path), label) for row, path, label in job.members))
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        name = f"{part}-{job.number:06d}-{digest[:16]}.tar"
        if there.get(name) != file.stat().st_size:
            store.put(file, name)
        file.unlink(missing_ok=True)
    except OSError as error:  # load raises none: this is the disk
        raise UserError(
            f"{file.name} cannot be written to {store} ({error.strerror}); free space on its disk"
        ) from error
    return job.number, name, digest
