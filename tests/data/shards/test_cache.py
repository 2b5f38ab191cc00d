"""The cache, over a bucket whose downloads are copies of local files; test_bucket.py has a real S3."""

import shutil
import threading

import numpy as np
import pytest
import torch

from vit.data.shards.cache import FETCHERS, NEVER, Cache, Held, claim_folder, next_needs
from vit.data.shards.layout import Index, Layout
from vit.data.shards.order import windowed_order
from vit.data.shards.store import Bucket


class Copies(Bucket):
    """Shards in a folder, copied as a bucket's are downloaded; `most` is the largest number of files seen."""

    def __init__(self, folder, cache):
        super().__init__("s3://copies/x")
        self.folder, self.cache, self.most, self.lock = folder, cache, 0, threading.Lock()

    def get(self, name, target):
        with self.lock:
            target.touch()
            self.most = max(self.most, len(list(self.cache.glob("*tar*"))))
        shutil.copy(self.folder / name, target)


@pytest.fixture
def new_cache(drawn, tmp_path):
    packed = drawn[0] / "shards"
    index = Index.read(packed / "train_shards.json")

    def new(capacity: int) -> Cache:
        folder = tmp_path / "cache"
        folder.mkdir(exist_ok=True)
        return Cache(Copies(packed / "shards", folder), index, capacity, folder)

    return new


def read(cache: Cache, needs: list[int]) -> None:
    cache.expect(np.array(needs))
    for number in needs:
        images = cache.take()
        assert len(images) == cache.index.layout.in_shard(number)
        assert np.array_equal(images, cache.index.layout.map(cache.store.folder / cache.index.names[number], number))


@pytest.mark.parametrize("capacity", [1, 2, 3, 5, 12])
def test_there_are_never_more_files_than_the_capacity_and_every_shard_is_the_right_one(new_cache, capacity):
    cache = new_cache(capacity)
    draws = np.random.default_rng(capacity)
    for _ in range(3):
        read(cache, draws.integers(12, size=60).tolist())
    assert 0 < cache.store.most <= capacity


def test_what_is_needed_again_first_stays(new_cache):
    cache = new_cache(2)
    read(cache, [0, 1, 0, 2, 0, 3, 0])
    assert cache.fetched == 4


def test_a_cache_for_everything_fetches_each_shard_once_and_then_never_waits(new_cache):
    cache = new_cache(12)
    needs = list(range(12)) * 2
    read(cache, needs)
    waits = cache.waits
    read(cache, needs[::-1])
    assert cache.fetched == 12 and cache.waits == waits


def test_what_an_earlier_process_left_is_used_unless_it_is_damaged(new_cache, tmp_path):
    read(new_cache(4), [0, 1, 2, 3])
    left = sorted((tmp_path / "cache").glob("*.tar"))
    assert len(left) == 4
    left[1].write_bytes(b"damaged")
    (tmp_path / "cache/train-000000-of-another-packing.tar").write_bytes(b"x")
    cache = new_cache(4)
    read(cache, [0, 1, 2, 3])
    assert cache.fetched == 1 and sorted((tmp_path / "cache").glob("*.tar")) == left


def test_the_next_need_of_each_place():
    assert next_needs(np.array([3, 1, 3, 3, 2])).tolist() == [2, NEVER, 3, NEVER, NEVER]


def test_two_processes_get_two_folders_and_what_nobody_uses_is_emptied(tmp_path):
    for number in range(4):
        (tmp_path / f"train-{number}").mkdir()
        (tmp_path / f"train-{number}" / "x.tar").touch()
    assert [claim_folder(tmp_path, "train", 2).name for _ in range(2)] == ["train-0", "train-1"]
    assert [path.parent.name for path in sorted(tmp_path.glob("*/x.tar"))] == ["train-0", "train-1"]


class Arrival:
    """A download that ends at a time of the simulated clock; waiting for it sets the clock forward."""

    def __init__(self, clock: list[float], at: float):
        self.clock, self.at = clock, at

    def done(self) -> bool:
        return self.at <= self.clock[0]

    def exception(self) -> None:
        self.clock[0] = max(self.clock[0], self.at)

    def result(self) -> None:
        pass


class Simulated(Cache):
    """A cache whose FETCHERS downloads at a time take FETCHERS seconds each: one shard per second."""

    def begin(self) -> None:
        self.clock, self.busy, self.begun = [0.0], [0.0] * FETCHERS, 0

    def _fetch(self, number: int) -> Held:
        self.busy.sort()
        self.busy[0] = max(self.busy[0], self.clock[0]) + FETCHERS
        self.begun += 1
        return Held(Arrival(self.clock, self.busy[0]))


@pytest.mark.parametrize(("batch_size", "capacity", "slower"), [(64, 100, 2.0), (64, 60, 2.0), (32, 100, 1.3)])
def test_after_the_first_epoch_training_never_waits_for_a_bucket_that_is_faster(batch_size, capacity, slower, tmp_path):
    count, in_shard = 10_000, 50
    cache = Simulated(
        Bucket("s3://nowhere/x"),
        Index(Layout((1, 1, 1), in_shard, count), ["x"] * 200, ["x"] * 200),
        capacity,
        tmp_path,
    )
    cache.begin()

    def needs(epoch: int) -> list[np.ndarray]:
        generators = [torch.Generator().manual_seed(seed) for seed in (0, 100 + epoch)]
        order = windowed_order(count, in_shard, batch_size, 1, int(0.75 * capacity), *generators)
        return [(batch // in_shard).unique().numpy() for batch in order.split(batch_size)]

    for epoch in range(4):
        now, waits, begun = needs(epoch), cache.waits, cache.begun
        cache.expect(np.concatenate(now + needs(epoch + 1)[: capacity * in_shard // batch_size]))
        for step in now:
            for _ in step:
                cache.take()
            cache.clock[0] += slower * 200 / len(now)
        assert (cache.waits > waits) is (epoch == 0)
        assert cache.begun - begun <= 200 + capacity  # each shard about once
