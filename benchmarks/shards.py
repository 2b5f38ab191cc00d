"""Shards against one memory map: images per second, how well a bounded cache shuffles, and waits for a slow bucket.

    python -m benchmarks.shards --out benchmarks/shards.json

The images are random. The bucket is moto's server on this machine, behind a link of given bandwidth and delay.
"""

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.contenders import Case, new_classifier, preset_case
from benchmarks.rows import compare, report, row
from benchmarks.slow_link import slow_link
from vit.data.batches import Packed
from vit.data.decoded import Part
from vit.data.shards.layout import layout_of, storage_order
from vit.data.shards.order import windowed_order
from vit.data.shards.store import Bucket, Folder, Store
from vit.data.shards.streamed import LANES, Streamed
from vit.data.shards.writing import jobs_of, write_shards
from vit.training.device import apply, choose
from vit.training.distributed import World
from vit.training.feed import Feed
from vit.training.step import TrainingStep

KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}


@dataclass(frozen=True)
class Workload:
    """How much is measured: sizes in pixels, counts of images, MB, seconds."""

    sizes: tuple[tuple[int, int], ...] = ((32, 60_000), (224, 4_000))  # pixels of each side, images
    shard_mb: float = 2.0
    cached: float = 0.25  # share of the images that the cache holds
    batch_size: int = 128
    rounds: int = 5
    mixed: tuple[tuple[int, int, int], ...] = ((100_000, 100, 10), (100_000, 100, 1000))  # images, in a shard, classes
    trained: int = 4_000  # images from the bucket
    bucket_mb: float = 0.4  # a shard there
    epochs: int = 3
    bandwidth: float = 20e6  # bytes per second
    delay: float = 0.05


def packed(folder: Path, size: tuple[int, int], channels: int, count: int, classes: int) -> Packed:
    """Random images in a memory map."""
    draws = np.random.default_rng(0)
    shape = (count, *size, channels)
    images = np.lib.format.open_memmap(folder / "train_images.npy", "w+", np.uint8, shape)
    for start in range(0, count, 1000):
        images[start : start + 1000] = draws.integers(256, size=images[start : start + 1000].shape, dtype=np.uint8)
    images.flush()
    np.save(folder / "train_labels.npy", draws.integers(classes, size=count))
    return Packed.load(folder, "train")


def stored(part: Packed, folder: Path, store: Store, load: Workload) -> Streamed:
    """The same images as shards, with a cache for a share of them."""
    layout = layout_of(tuple(part.images.shape), load.shard_mb)
    order, labels = storage_order(len(part), "train"), part.labels.numpy()
    paths = [Path(str(row)) for row in range(len(part))]
    jobs = jobs_of(paths, labels, order, layout)
    index = write_shards(jobs, layout, "train", lambda path: part.images[int(path.name)].numpy(), store, folder, 1)
    np.save(folder / "train_order.npy", order)
    index.write(folder / "train_shards.json")
    return Streamed.load(folder, "train", store, load.cached * layout.total(), 1)


def one_case(size: tuple[int, int], batch_size: int) -> Case:
    """The preset's augmentation at another size, on the CPU."""
    case = preset_case("tom_and_jerry")
    train = case.train.model_copy(update={"batch_size": batch_size, "device": "cpu"})
    return Case(case.name, case.model, train, size, 3, case.classes, batch_size)


def gathered(part: Part, load: Workload) -> Callable[[], float]:
    """Images per second that are only read, in shuffled batches, an epoch after the other."""
    epochs = iter(range(10**9))

    def work() -> float:
        orders = (order_of(part, next(epochs), load.batch_size).split(load.batch_size) for _ in range(1))
        began = time.perf_counter()
        for _ in part.batches(next(orders)):
            pass
        return len(part) / (time.perf_counter() - began)

    return work


def order_of(part: Part, epoch: int, batch_size: int) -> torch.Tensor:
    if isinstance(part, Streamed):
        return part.shuffled(0, epoch, batch_size)
    return torch.randperm(len(part), generator=torch.Generator().manual_seed(epoch))


def fed(part: Part, case: Case) -> Callable[[], float]:
    """Images per second as the training loop asks for them, augmented and normalized."""
    compute, _ = choose(case.train, case.model, case.image_size, World())
    feed = Feed(new_classifier(case, compute), part, case.train, World())
    epochs = iter(range(10**9))

    def work() -> float:
        began = time.perf_counter()
        for _, micro_batches in feed.epoch(next(epochs)):
            for _ in micro_batches:
                pass
        return len(part) / (time.perf_counter() - began)

    return work


def local_rows(load: Workload, folder: Path) -> Iterator[dict]:
    for pixels, count in load.sizes:
        here = folder / str(pixels)
        here.mkdir()
        part = packed(here, (pixels, pixels), 3, count, 10)
        shards = stored(part, here, Folder(here / "shards"), load)
        case = one_case((pixels, pixels), load.batch_size)
        name = f"{pixels}x{pixels}, {shards.capacity} of {shards.index.layout.shards} shards"
        yield compare(f"{name}, read", gathered(shards, load), gathered(part, load), "memory map", None, load.rounds)
        yield compare(f"{name}, read and augmented", fed(shards, case), fed(part, case), "memory map", 0.9, load.rounds)


def mixture(order: torch.Tensor, of_place: torch.Tensor, batch_size: int) -> float:
    """The mean number of different values in a batch."""
    batches = [batch for batch in of_place[order].split(batch_size) if len(batch) == batch_size]
    return sum(len(batch.unique()) for batch in batches) / len(batches)


def mixing_rows(load: Workload) -> Iterator[dict]:
    """How many shards and classes a batch mixes, over those of a full shuffle."""
    for count, in_shard, classes in load.mixed:
        labels = torch.arange(count) * classes // count  # sorted by class, as tables are
        of_place = {
            "shards": torch.arange(count) // in_shard,
            "classes": labels[torch.from_numpy(storage_order(count, "train"))],
        }
        shards = count // in_shard
        lanes = int(LANES * load.cached * shards)
        for processes in (1, 2):
            fixed, drawn = (torch.Generator().manual_seed(seed) for seed in (0, 1))
            ours = windowed_order(count, in_shard, load.batch_size, processes, lanes, fixed, drawn)
            whole = torch.randperm(count, generator=torch.Generator().manual_seed(2))
            for what, values in of_place.items():
                means = [mixture(order, values, load.batch_size) for order in (ours, whole)]
                case = f"{lanes} of {shards} shards at a time, {classes} classes, {processes} processes"
                yield row(case, *means, "full shuffle", f"{what} in a batch of {load.batch_size}", 0.95)


@contextmanager
def bucket() -> Iterator[tuple[str, int]]:
    """An S3 on this machine with an empty bucket `shards`; its host and port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        import boto3

        client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}")
        deadline = time.monotonic() + 60
        while True:
            try:
                client.create_bucket(Bucket="shards")
                break
            except Exception:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
        yield "127.0.0.1", port
    finally:
        server.kill()  # it holds nothing to keep, and waits for open connections
        server.wait()


def trained(part: Part, case: Case, epochs: int) -> tuple[list[float], list[int]]:
    """Images per second of each epoch of training, and how many of its steps waited for a shard."""
    compute, _ = choose(case.train, case.model, case.image_size, World())
    apply(compute)
    classifier = new_classifier(case, compute)
    step = TrainingStep(classifier.model.train(), case.train, compute, World())
    feed = Feed(classifier, part, case.train, World())
    rates, waits = [], []
    for epoch in range(epochs):
        began, before = time.perf_counter(), part.cache.waits if isinstance(part, Streamed) else 0
        for size, micro_batches in feed.epoch(epoch):
            step(micro_batches, size, case.train.lr)
        rates.append(len(part) / (time.perf_counter() - began))
        waits.append(part.cache.waits - before if isinstance(part, Streamed) else 0)
    return rates, waits


def bucket_rows(load: Workload, folder: Path) -> Iterator[dict]:
    """Training from a slow bucket, over training from a memory map; and its steps that did not wait."""
    case = one_case((64, 88), load.batch_size)
    part = packed(folder, case.image_size, 3, load.trained, case.classes)
    with bucket() as target, slow_link(target, bandwidth=1e9, delay=0.0) as link:
        os.environ["AWS_ENDPOINT_URL"] = link.url
        shards = stored(part, folder, Bucket("s3://shards/train"), replace(load, shard_mb=load.bucket_mb))
        link.bandwidth, link.delay, link.transferred = load.bandwidth, load.delay, 0
        steps = -(-len(part) // load.batch_size) * (load.epochs - 1)
        (rates, waits), (mapped, _) = (trained(one, case, load.epochs) for one in (shards, part))
        layout = shards.index.layout
        name = f"64x88, {shards.capacity} of {layout.shards} shards, {load.bandwidth / 1e6:.0f} MB/s, {load.delay:g} s"
        at_once = max(rates[1:]) * layout.stride / load.bandwidth
        print(
            f"a slow bucket: {link.transferred / 1e6:.0f} MB fetched of {layout.total() / 1e6:.0f} MB in {load.epochs} "
            f"epochs; training uses {100 * at_once:.0f} % of the bandwidth; waits per epoch {waits}"
        )
        yield row(f"{name}, trained", sorted(rates[1:])[0], sorted(mapped[1:])[0], "memory map", "samples/s", 0.9)
        yield row(f"{name}, steps without a wait", steps - sum(waits[1:]), steps, "all steps", "steps", 1)


def measure(load: Workload) -> list[dict]:
    """Every case, as rows."""
    os.environ |= {name: value for name, value in KEYS.items() if name not in os.environ}
    with tempfile.TemporaryDirectory() as temporary:
        os.environ["DVC_ROOT"] = temporary  # where the cache lies
        folders = [Path(temporary) / name for name in ("local", "bucket")]
        for folder in folders:
            folder.mkdir()
        return [*local_rows(load, folders[0]), *mixing_rows(load), *bucket_rows(load, folders[1])]


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure training from shards.")
    parser.add_argument("--out", type=Path, required=True, help="where to write the rows as JSON")
    arguments = parser.parse_args()
    report(measure(Workload()), arguments.out)


if __name__ == "__main__":
    main()
