"""The digits as the pipeline prepares them: downloaded, split and packed by its own functions, in about a second."""

import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

from vit.config.presets import load_preset
from vit.config.schema import Params
from vit.data.batches import Packed
from vit.data.images import SETTINGS
from vit.data.manifest import PARTS, Row, list_images
from vit.data.pack import measure_packed, normalization, pack_images, pack_labels
from vit.data.sources.fetch import fetch
from vit.data.stratified import random_split
from vit.files import write_table
from vit.inference.classifier import Classifier

PRESETS = Path(__file__).parents[1] / "presets"


@dataclass(frozen=True)
class Digits:
    """The three splits in memory, and what a model of them needs to know (mean, std, classes, size)."""

    train: Packed
    val: Packed
    test: Packed
    preprocessing: dict


@cache
def params() -> Params:
    """The preset `digits`, which is also the committed params.yaml."""
    return load_preset("digits", PRESETS).params


@cache
def digits() -> Digits:
    """What stages download, split and pack make of the preset: the same images in the same splits."""
    pack = params().pack
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fetch(params().data, folder / "raw", folder)
        rows = random_split(list_images(folder / "raw"), params().split)
        classes = sorted({row.label for row in rows["train"]})
        for part in PARTS:
            table = folder / f"{part}.csv"
            write_table(table, (row._asdict() for row in sorted(rows[part])), list(Row._fields))
            pack_labels(table, classes, folder / f"{part}_labels.npy")
            pack_images(folder / "raw", table, pack, part, folder / f"{part}_images.npy")
        statistics = normalization(pack, lambda: measure_packed(folder / "train_images.npy"))
        splits = {part: _in_memory(Packed.load(folder, part)) for part in PARTS}
    settings = pack.model_dump(include=set(SETTINGS))
    return Digits(**splits, preprocessing={"classes": classes, **settings, **statistics})


def _in_memory(part: Packed) -> Packed:
    return Packed(part.images.clone(), part.labels.clone())


def new_classifier(seed: int = 0, preprocessing: dict | None = None, **model) -> Classifier:
    """An untrained model with its preprocessing, by default for the digits; `model` as in params.yaml's section."""
    torch.manual_seed(seed)
    config = (preprocessing or digits().preprocessing) | {"model": model, "compute": {"attention": "math"}}
    return Classifier.new(config, torch.device("cpu"))
