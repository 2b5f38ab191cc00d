"""The order of an epoch over shards: mixed well although only a few shards are at hand at any moment."""

from itertools import pairwise

import torch
from torch import Tensor

NOISE = 0.5  # of the time between two images of a lane


def shares_of(count: int, batch_size: int, processes: int) -> Tensor:
    """How many images of each batch each process gets, int64 (batches, processes), as World.share divides them."""
    sizes = torch.tensor([min(batch_size, count - start) for start in range(0, count, batch_size)])[:, None]
    return sizes // processes + (torch.arange(processes) < sizes % processes)


def windowed_order(
    count: int,
    in_shard: int,
    batch_size: int,
    processes: int,
    lanes: int,
    fixed: torch.Generator,
    drawn: torch.Generator,
) -> Tensor:
    """Places in storage, int64 (N,), each once, of which a process reads `lanes / processes` shards at any time.

    Process p reads only its own range of storage: the share of each batch that World.share gives it. `fixed` must be
    seeded alike in all epochs, `drawn` per epoch.
    """
    shares = shares_of(count, batch_size, processes)
    ends = shares.sum(0).cumsum(0).tolist()
    orders = [
        _lanes(start, end, in_shard, max(1, lanes // processes), fixed, drawn)
        for start, end in zip([0, *ends[:-1]], ends, strict=True)
    ]
    pieces = [order.split(share.tolist()) for order, share in zip(orders, shares.T, strict=True)]
    return torch.cat([piece for batch in zip(*pieces, strict=True) for piece in batch])


def _lanes(start: int, end: int, in_shard: int, lanes: int, fixed: torch.Generator, drawn: torch.Generator) -> Tensor:
    """The places from `start` to `end`, merged from lanes that go through their shards one after another.

    Each lane begins within a shard of its own and ends with the rest of it, at a random point. At the border of two
    epochs the same shards are therefore at hand, and at no time do many lanes change their shards at once.
    """
    edges = [start, *range(start // in_shard * in_shard + in_shard, end, in_shard), end]
    shards = [torch.arange(low, high) for low, high in pairwise(edges) if low < high]
    if not shards:
        return torch.arange(0)
    lanes = min(lanes, len(shards))
    dealt = torch.randperm(len(shards), generator=fixed).tolist()
    cuts = torch.rand(lanes, generator=fixed).tolist()
    halves = [shards[one][torch.randperm(len(shards[one]), generator=fixed)] for one in dealt[:lanes]]
    between = dealt[lanes:]
    between = [between[one] for one in torch.randperm(len(between), generator=drawn).tolist()]
    keys, places = [], []
    for lane, (half, cut) in enumerate(zip(halves, cuts, strict=True)):
        middle = round(cut * len(half))
        chain = [half[middle:], *(shards[one] for one in between[lane::lanes]), half[:middle]]
        lane_places = torch.cat([piece[torch.randperm(len(piece), generator=drawn)] for piece in chain])
        places.append(lane_places)
        # Evenly spaced in time, with a phase of the lane's own and some noise against a fixed sequence of lanes.
        noise = NOISE * torch.rand(len(lane_places), generator=drawn, dtype=torch.float64)
        phase = torch.rand(1, generator=drawn, dtype=torch.float64)
        keys.append((torch.arange(len(lane_places)) + phase + noise) / len(lane_places))
    return torch.cat(places)[torch.cat(keys).argsort(stable=True)]
