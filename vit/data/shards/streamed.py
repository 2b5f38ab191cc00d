"""A split in shards as training reads it: batches equal to those of packed arrays, with a few shards at hand."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
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

AHEAD = 8  # shards at hand where images are read in the order of the table
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
        capacity = AHEAD if cache_bytes is None else int(cache_bytes / processes // layout.largest)
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
        if self.capacity < self.index.layout.shards and not torch.equal(self.order, torch.arange(len(self))):
            raise UserError(
                f"the {self.index.layout.shards} shards of train are shuffled, and {self.capacity} in the cache do not "
                "allow to read them in the order of the table; set evaluate.svc_baseline to false and "
                "train.frozen_layers to less than all, or pack.mode to arrays"
            )
        return self.batches(torch.arange(len(self)).split(batch_size))

    def batches(self, indices: Iterable[Tensor], then: Iterable[Tensor] = ()) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of (images, labels), one for each int64 (b,) of `indices`, which may be empty.

        Shards for `then`, which the next call is expected to ask for, are fetched while there is room.
        """
        indices, layout = list(indices), self.index.layout
        needs = [self._reads(chosen).shards for chosen in [*indices, *self._first(then)]]
        self.cache.expect(np.concatenate([np.empty(0, dtype=np.int64), *needs]))
        del needs
        for chosen in indices:
            images = np.empty((len(chosen), *layout.shape), dtype=np.uint8)
            for sources, targets in self._reads(chosen).rows:
                shard = self.cache.take()
                if len(sources) == 1:  # as in most batches; twice as fast
                    images[targets[0]] = shard[sources[0]]
                else:
                    images[targets] = shard[sources]
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

    def _reads(self, chosen: Tensor) -> "_Reads":
        return _Reads.of(self.places[chosen].numpy(), self.index.layout.images)

    def pick(self, indices: list[int]) -> Tensor:
        """A few images, uint8 (B, H, W, C), read alone: without their shards, and without checking their digests."""
        layout = self.index.layout
        images = np.empty((len(indices), *layout.shape), dtype=np.uint8)
        step = self._reads(torch.tensor(indices))
        for number, (sources, targets) in zip(step.shards.tolist(), step.rows, strict=True):
            starts = [layout.first + int(row) * layout.stride for row in sources]
            contents = self.store.read(self.index.names[number], [(at, at + layout.pixels) for at in starts])
            for target, content in zip(targets, contents, strict=True):
                images[target] = np.frombuffer(content, dtype=np.uint8).reshape(layout.shape)
        return torch.from_numpy(images)


@dataclass(frozen=True)
class _Reads:
    """What a batch reads: the shards, each once, and per shard the rows in it and in the batch."""

    shards: np.ndarray
    rows: list[tuple[np.ndarray, np.ndarray]]

    @classmethod
    def of(cls, places: np.ndarray, in_shard: int) -> "_Reads":
        numbers, rows = np.divmod(places, in_shard)
        targets = numbers.argsort(kind="stable")
        shards, starts = np.unique(numbers[targets], return_index=True)
        if not len(shards):
            return cls(shards, [])
        return cls(shards, list(zip(*(np.split(one, starts[1:]) for one in (rows[targets], targets)), strict=True)))
