"""Samples, logs and tables of a made-up model with two classes, by chance with a fixed seed."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import safetensors.numpy

from vit.monitoring.sample import Sample
from vit.serving.log_files import schema, write_file

CLASSES = ["cat", "dog"]
START = 1_790_000_000.0  # seconds since 1970


def sample(random: np.random.Generator, blocks: int, size: int = 1, shift: float = 0.0, alike: float = 0.0) -> Sample:
    """`blocks` of `size` predictions; what is in a block has `alike` of its spread in common, and `shift` moves all."""

    def drawn(*shape: int) -> np.ndarray:
        common = np.repeat(random.normal(size=(blocks, *shape)), size, axis=0)
        return np.sqrt(alike) * common + np.sqrt(1 - alike) * random.normal(size=(blocks * size, *shape)) + shift

    names = ("confidence", "brightness", "sharpness")
    return Sample(
        label=np.array(CLASSES)[(drawn() > 0).astype(int)],
        embedding=drawn(4),
        figures={name: drawn() for name in names} | {"size": np.full(blocks * size, 600.0)},
        block=np.repeat(np.arange(blocks), size),
    )


def rows(count: int, start: float = START, version: str = "1", bright: float = 0.5, seed: int = 0) -> pa.Table:
    """A prediction a second, of images of 30x20."""
    random = np.random.default_rng(seed)
    embedding = random.normal(size=(count, 3)).astype(np.float32)
    columns = {
        "at": (1e6 * (start + np.arange(count))).astype("datetime64[us]"),
        "request_id": [f"{version}-{start:.0f}-{index}" for index in range(count)],
        "row": np.zeros(count, int),
        "sha256": [f"{index:064x}" for index in range(count)],
        "label": [CLASSES[index % 2] for index in range(count)],
        "confidence": random.uniform(0.5, 1, count),
        "version": [version] * count,
        "latency_ms": np.linspace(1, 3, count),
        "width": np.full(count, 30),
        "height": np.full(count, 20),
        "brightness": random.normal(bright, 0.1, count),
        "sharpness": random.normal(0.2, 0.02, count),
        "embedding": pa.array(list(embedding), pa.list_(pa.float32())),
    }
    return pa.table(columns, schema=schema())


def log(folder: Path, name: str, table: pa.Table, dropped: int = 0) -> None:
    write_file(folder / f"{name}.parquet", table, dropped)


def write_val(folder: Path, count: int = 60) -> Path:
    """A sample of val with the distribution of `rows`; every second image is of either class, each a group."""
    table = rows(count, seed=1)
    values = {name: table[name].to_numpy() for name in ("confidence", "brightness", "sharpness", "width", "height")}
    half = (np.arange(count) % 2).astype(np.int32)
    values |= {"label": half, "prediction": half, "group": np.arange(count, dtype=np.int32)}
    values["embedding"] = np.array(table["embedding"].to_pylist(), np.float32)
    folder.mkdir(exist_ok=True)
    safetensors.numpy.save_file(values, folder / "val_sample.safetensors", {"classes": '["cat", "dog"]'})
    return folder
