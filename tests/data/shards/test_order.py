import pytest
import torch

from vit.data.shards.order import windowed_order
from vit.training.distributed import World

IN_SHARD = 20


def generators(epoch: int = 0) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in (5, 100 + epoch)]


def order(count: int, batch_size: int, processes: int, lanes: int, epoch: int = 0) -> torch.Tensor:
    return windowed_order(count, IN_SHARD, batch_size, processes, lanes, *generators(epoch))


@pytest.mark.parametrize("processes", [1, 2, 3])
@pytest.mark.parametrize(("count", "batch_size", "lanes"), [(1001, 27, 9), (60, 64, 2), (7, 2, 4), (999, 100, 500)])
def test_every_image_comes_once_and_a_process_reads_only_its_own_range(count, batch_size, processes, lanes):
    places = order(count, batch_size, processes, lanes)
    assert places.sort().values.tolist() == list(range(count))
    ranges = []
    for rank in range(processes):
        world = World(rank, processes, rank, processes)
        own = torch.cat([world.share(batch) for batch in places.split(batch_size)]).sort().values
        if len(own):
            assert own.tolist() == list(range(own[0], own[-1] + 1))
            ranges.append((int(own[0]), int(own[-1])))
    assert ranges == sorted(ranges)


def test_epochs_differ_and_an_epoch_repeats_itself():
    assert torch.equal(order(1000, 10, 1, 9), order(1000, 10, 1, 9))
    assert not torch.equal(order(1000, 10, 1, 9), order(1000, 10, 1, 9, epoch=1))


def test_few_shards_are_in_use_at_any_moment_also_between_epochs():
    lanes = 10
    shards = torch.cat([order(2000, 10, 1, lanes, epoch) for epoch in (0, 1)]) // IN_SHARD
    for start in range(0, len(shards) - lanes, lanes):
        assert len(shards[start : start + lanes].unique()) <= lanes + 5
    first = {shard: [] for shard in range(100)}
    for position, shard in enumerate(shards.tolist()):
        first[shard].append(position)
    # A shard is done with about lanes * IN_SHARD images after it was begun, except those that begin an epoch.
    spans = [span[IN_SHARD - 1] - span[0] for span in first.values()]
    assert sorted(spans)[90 - 1] < 1.5 * lanes * IN_SHARD


@pytest.mark.parametrize("processes", [1, 2])
def test_a_batch_mixes_shards_and_classes_as_a_full_shuffle_does(processes):
    count, batch_size, lanes = 12_000, 64, 72  # of 600 shards
    classes = torch.randperm(count, generator=torch.Generator().manual_seed(1)) % 50
    ours = order(count, batch_size, processes, lanes)
    whole = torch.randperm(count, generator=torch.Generator().manual_seed(2))
    for values in (torch.arange(count) // IN_SHARD, classes):
        means = [sum(len(batch.unique()) for batch in values[one].split(batch_size)[:-1]) for one in (ours, whole)]
        assert means[0] >= 0.95 * means[1]
