"""Features of images: what a model's head sees, (B, D). Stage features stores them, and others read them again."""

from copy import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from vit.data.batches import Packed
from vit.data.decoded import Part
from vit.errors import UserError
from vit.inference.classifier import Classifier


def featurizer(whole: Classifier) -> Classifier:
    """The classifier without its head: its `logits` are features (B, D). Both share their weights."""
    backbone = copy(whole.model)
    backbone._modules = {**whole.model._modules, "head": nn.Identity()}
    return replace(whole, model=backbone)


def features_of(whole: Classifier, part: Part, batch_size: int) -> Packed:
    """The features of a split's images, in float32, in place of its images."""
    backbone = featurizer(whole)
    return Packed(torch.cat([backbone.logits(images) for images, _ in part.in_order(batch_size)]), part.labels)


def path_of(folder: Path, part: str) -> Path:
    """The file with the features of a split: float32 (versions, N, D)."""
    return folder / f"{part}.npy"


def has_features(folder: Path) -> bool:
    """Whether stage features stored any."""
    return path_of(folder, "train").is_file()


def stored_versions(folder: Path, part: str, labels: Tensor) -> list[Packed]:
    """The stored features of a split in place of its images, memory-mapped: of its images as they are, then varied.

    Raises UserError if there are none, or if they are of other images.
    """
    path = path_of(folder, part)
    if not path.is_file():
        raise UserError(f"{path} is missing, which train.frozen_layers all needs; run `dvc repro`")
    values = torch.from_numpy(np.load(path, mmap_mode="c"))
    if values.shape[1] != len(labels):
        raise UserError(f"{path} is of {values.shape[1]} images, but {part} has {len(labels)}; run `dvc repro`")
    return [Packed(one, labels) for one in values]
