"""What is compared of a window and of val: the same figures of both, as arrays."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import safetensors

MOST = 1000  # predictions of a window that are compared: more would find differences too small to matter


@dataclass(frozen=True)
class Sample:
    """Predictions of one model: `label` (N,), `embedding` (N, D), other figures (N,) by name, and the number of the
    `block` (N,) that each belongs to. Blocks are independent of each other, what is in one may be alike."""

    label: np.ndarray
    embedding: np.ndarray
    figures: dict[str, np.ndarray]
    block: np.ndarray

    @property
    def blocks(self) -> int:
        return len(np.unique(self.block))


def live_sample(rows: pa.Table, block: int) -> Sample:
    """Rows of the log, at least one and in the order of time, as blocks of `block` consecutive ones; at most MOST, of
    evenly spaced blocks."""
    count = -(-rows.num_rows // block)
    kept = np.unique(np.linspace(0, count - 1, min(count, max(1, MOST // block))).astype(int))
    numbers = np.arange(rows.num_rows) // block
    chosen = np.isin(numbers, kept)
    rows = rows.filter(pa.array(chosen))
    embedding = rows["embedding"].combine_chunks()
    values = embedding.flatten().to_numpy(zero_copy_only=False)
    size = rows["width"].to_numpy().astype(np.float64) * rows["height"].to_numpy()
    figures = {name: rows[name].to_numpy() for name in ("confidence", "brightness", "sharpness")}
    return Sample(
        label=np.array(rows["label"].to_pylist()),
        embedding=values.reshape(rows.num_rows, -1),
        figures=figures | {"size": size},
        block=numbers[chosen],
    )


@dataclass(frozen=True)
class ValSample(Sample):
    """A model's predictions for val, with the true labels (N,), and all classes."""

    truth: np.ndarray
    classes: list[str]


def read_val_sample(path: Path) -> ValSample:
    """What `vit.evaluation.val_sample` wrote; its blocks are the groups of the split."""
    with safetensors.safe_open(path, framework="np") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it is no dict
        classes = json.loads(file.metadata()["classes"])
    names = np.array(classes)
    figures = {name: arrays[name] for name in ("confidence", "brightness", "sharpness")}
    return ValSample(
        label=names[arrays["prediction"]],
        embedding=arrays["embedding"],
        figures=figures | {"size": arrays["width"].astype(np.float64) * arrays["height"]},
        block=arrays["group"],
        truth=names[arrays["label"]],
        classes=classes,
    )


def usual_block(val: Sample) -> int:
    """The median number of images in a group of val: so many consecutive requests are taken to belong together."""
    return max(1, int(np.median(np.bincount(val.block))))
