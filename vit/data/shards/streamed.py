"""A split in shards as training reads it: batches equal to those of packed arrays, with a few shards at hand."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vit.config.files import CACHE
from vit.data.seeds import seeded
from vit.data.shards.cache import Cache, claim_folder, lost
from vit.data.shards.layout import Index
from vit.data.shards.order import windowed_order
from vit.data.shards.store import Store
from vit.errors import UserError
from vit.files import project_root

AHEAD = 1e9  # bytes at hand where nothing else is said: for reading in the order of the table
LANES = 0.75  # share of the cache for shards in use; the rest is for those fetched ahead
FEWEST = 2  # shards that a cache must hold
ENOUGH = 0.95  # of the shards that a full shuffle would mix into a batch


@dataclass(frozen=True)
class Streamed:
    """One split in shards: `order` holds the row of the table at each place in storage, `labels` int64 (N,) by row.

    `capacity` shards are at hand in each of `processes` processes.
    """

    store: Store
    index: Index
    order: Tensor
    labels: Tensor
    capacity: int
    processes: int
    cache: Cache
    places: Tensor = field(init=False)

    def __post_init__(self) -> None:
        places = torch.empty_like(self.order)
        places[self.order] = torch.arange(len(self.order))
        object.__setattr__(self, "places", places)  # the inverse of `order`

    @classmethod
    def load(cls, folder: Path, part: str, store: Store, cache_bytes: float | None, processes: int) -> "Streamed":
        """The split that `folder` describes; `cache_bytes` are for all processes, None for reading in order.

        Raises UserError if a shard is missing, if train cannot be read in order, or if the cache is too small.
        """
        index = Index.read(folder / f"{part}_shards.json")
        order, labels = (np.load(folder / f"{part}_{name}.npy") for name in ("order", "labels"))
        there, layout = store.sizes(), index.layout
        for number, name in enumerate(index.names):
            if there.get(name) != layout.bytes_in(number):
                raise lost(store, name, "is missing" if name not in there else "has another size")
        capacity = int((AHEAD if cache_bytes is None else cache_bytes / processes) // layout.largest)
        if capacity < min(FEWEST, layout.shards):
            raise UserError(
                f"train.cache_gb is too small: its share for {part} must hold at least {FEWEST} shards of "
                f"{layout.largest / 1e6:.3g} MB for each process; make it larger, or pack.shard_mb smaller"
            )
        root = project_root() / CACHE
        own = claim_folder(root, part, processes) if store.is_remote else None
        cache = Cache(store, index, capacity, own)
        return cls(store, index, torch.from_numpy(order), torch.from_numpy(labels), capacity, processes, cache)

    @property
    def lanes(self) -> int:
        """The shards that a batch is drawn from, over all processes."""
        return max(1, int(LANES * self.capacity)) * self.processes

    def __len__(self) -> int:
        return len(self.labels)

    def on_device(self, device: torch.device) -> "Streamed":
        """Itself: its images are never in memory all at once."""
        return self

    def shuffled(self, seed: int, epoch: int, batch_size: int) -> Tensor:
        """The rows of the table in the order of an epoch, int64 (N,): as for packed arrays where the cache holds all
        shards, else the best mixture that it allows."""
        drawn = seeded(seed, "order", epoch)
        if self.capacity >= self.index.layout.shards:
            return torch.randperm(len(self), generator=drawn)
        fixed = seeded(seed, "lanes")
        in_shard = self.index.layout.images
        return self.order[windowed_order(len(self), in_shard, batch_size, self.processes, self.lanes, fixed, drawn)]

    def mixing(self, batch_size: int) -> str:
        """How well an epoch is shuffled, in one line."""
        shards = self.index.layout.shards
        if self.capacity >= shards:
            return f"the cache holds all {shards} shards; shuffled as a whole"
        whole = shards * (1 - (1 - 1 / shards) ** batch_size)
        mixed = min(batch_size, self.lanes)
        line = (
            f"the cache holds {self.capacity * self.processes} of {shards} shards; a batch is drawn from {self.lanes} "
            f"at a time, and holds images of about {mixed}, in a full shuffle of {whole:.0f}"
        )
        if mixed >= ENOUGH * whole:
            return line
        return f"{line}; to mix better, make train.cache_gb larger or pack.shard_mb smaller"

    def in_order(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of (images, labels) as the split lists them, the last one shorter."""
        is_shuffled = not torch.equal(self.order, torch.arange(len(self)))
        if is_shuffled and self.store.is_remote and self.capacity < self.index.layout.shards:
            raise UserError(
                f"the {self.index.layout.shards} shards of train in {self.store} are shuffled, and a cache of "
                f"{self.capacity} would fetch each of them again and again to read them in the order of the table; set "
                "evaluate.svc_baseline to false and train.frozen_layers to less than all, or pack.store to null"
            )
        return self.batches(torch.arange(len(self)).split(batch_size))

    def batches(self, indices: Iterable[Tensor], then: Iterable[Tensor] = ()) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of (images, labels), one for each int64 (b,) of `indices`, which may be empty.

        Shards for `then`, which the next call is expected to ask for, are fetched while there is room.
        """
        indices, layout = list(indices), self.index.layout
        needs = [np.unique(self._shards_and_rows(chosen)[0]) for chosen in [*indices, *self._first(then)]]
        self.cache.expect(np.concatenate([np.empty(0, dtype=np.int64), *needs]))
        del needs
        for chosen in indices:
            images = np.empty((len(chosen), *layout.shape), dtype=np.uint8)
            for _, rows, targets in self._reads(chosen):
                shard = self.cache.take()
                if len(rows) == 1:  # as in most batches; twice as fast
                    images[targets[0]] = shard[rows[0]]
                else:
                    images[targets] = shard[rows]
                del shard  # its file may be deleted, which frees its space when nothing maps it
            yield torch.from_numpy(images), self.labels[chosen]

    def _first(self, then: Iterable[Tensor]) -> Iterator[Tensor]:
        """As many batches of `then` as the cache has room for."""
        layout = self.index.layout
        if self.capacity >= layout.shards:
            return
        images = self.capacity * layout.images
        for chosen in then:
            if images <= 0:
                return
            yield chosen
            images -= len(chosen)

    def _shards_and_rows(self, chosen: Tensor) -> tuple[np.ndarray, np.ndarray]:
        return np.divmod(self.places[chosen].numpy(), self.index.layout.images)

    def _reads(self, chosen: Tensor) -> Iterator[tuple[int, list[int], list[int]]]:
        """For each shard that a batch reads, in ascending order: its number, the rows in it, and those in the batch."""
        numbers, rows = self._shards_and_rows(chosen)
        targets = numbers.argsort(kind="stable")
        numbers, rows = numbers[targets], rows[targets].tolist()
        starts = [0, *(np.flatnonzero(numbers[1:] != numbers[:-1]) + 1).tolist(), len(numbers)]
        targets = targets.tolist()
        for start, end in pairwise(starts):
            if start < end:
                yield int(numbers[start]), rows[start:end], targets[start:end]

    def pick(self, indices: list[int]) -> Tensor:
        """A few images, uint8 (B, H, W, C), read alone: without their shards, and without checking their digests."""
        layout = self.index.layout
        images = np.empty((len(indices), *layout.shape), dtype=np.uint8)
        for number, rows, targets in self._reads(torch.tensor(indices, dtype=torch.int64)):
            starts = [layout.first + row * layout.stride for row in rows]
            contents = self.store.read(self.index.names[number], [(at, at + layout.pixels) for at in starts])
            for target, content in zip(targets, contents, strict=True):
                images[target] = np.frombuffer(content, dtype=np.uint8).reshape(layout.shape)
        return torch.from_numpy(images)
