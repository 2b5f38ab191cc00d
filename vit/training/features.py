"""Stage features: what the frozen part of a model makes of every image, computed once and stored."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from vit.config.schema import AugmentParams, TrainParams
from vit.data.batches import normalize, to_unit
from vit.data.decoded import Part
from vit.data.images import centre_crop
from vit.inference.classifier import Classifier
from vit.inference.features import featurizer, path_of
from vit.training.device import Compute
from vit.training.distributed import World
from vit.training.feed import Feed

BATCH = 128  # images; a constant, because the last bits of the features depend on it


def write_features(
    whole: Classifier, train: TrainParams, compute: Compute, part: Part, val: Part, folder: Path
) -> tuple[int, int]:
    """Write the features of the train split `part` and of `val` to `folder`; returns the number of versions, and D.

    Train images are computed in the precision of training, each as it is and in `feature_variations` augmented versions
    if anything is augmented; val images in float32, as they are evaluated.
    """
    backbone = featurizer(whole)
    versions = 1 + (train.feature_variations if is_varied(train.augment, whole.config["margin"]) else 0)
    with tqdm(total=versions * len(part) + len(val), unit="image", desc="features", disable=None) as bar:
        of_train = _of_train(backbone, train, compute, part, versions)
        width = _write(path_of(folder, "train"), versions, len(part), of_train, bar)
        of_val = (backbone.logits(images) for images, _ in val.in_order(BATCH))
        _write(path_of(folder, "val"), 1, len(val), of_val, bar)
    return versions, width


def is_varied(augment: AugmentParams, margin: float) -> bool:
    """Whether augmentation makes two versions of a train image differ; a margin is there for random crops."""
    return margin > 0 or any(augment.model_dump().values())


def as_they_are(images: Tensor, classifier: Classifier) -> Tensor:
    """Packed uint8 (B, H', W', C) without their margin, as model input (B, C, H, W)."""
    middle = centre_crop(images, classifier.config["image_size"]).to(classifier.device)
    return normalize(to_unit(middle), classifier.mean, classifier.std)


def _of_train(
    backbone: Classifier, train: TrainParams, compute: Compute, part: Part, versions: int
) -> Iterator[Tensor]:
    """Features (b, D) of all images, version after version."""
    dtype = getattr(torch, compute.precision)
    feed = Feed(backbone, part, train, World())
    backbone.model.eval()
    for version in range(versions):
        for number, (images, labels) in enumerate(part.in_order(BATCH)):
            if version == 0:
                x = as_they_are(images, backbone)
            else:
                x, _ = next(feed.varied(iter([(images, labels)]), len(images), version, number))
            with torch.inference_mode(), torch.autocast(compute.device_type, dtype, enabled=dtype != torch.float32):
                yield backbone.model(x).float().cpu()


def _write(path: Path, versions: int, count: int, batches: Iterator[Tensor], bar: tqdm) -> int:
    """Write batches (b, D) in order to an array (versions, count, D) that need not fit into memory; returns D."""
    array, row = None, 0
    for batch in batches:
        if array is None:
            array = np.lib.format.open_memmap(path, "w+", np.float32, (versions, count, batch.shape[1]))
        array.reshape(versions * count, -1)[row : row + len(batch)] = batch.numpy()
        row += len(batch)
        bar.update(len(batch))
    assert array is not None and row == versions * count
    array.flush()
    return array.shape[2]
