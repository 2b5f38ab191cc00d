"""The splits as training reads them: packed arrays, shards, or files decoded again in every epoch."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from vit.config.files import PACK_MODE, PREPROCESSING
from vit.data.batches import Packed
from vit.data.images import SETTINGS, load_image, packed_size
from vit.data.shards.store import store_at
from vit.data.shards.streamed import Streamed
from vit.errors import UserError
from vit.files import iterate_table, read_json


@dataclass(frozen=True)
class Decoded:
    """One split that worker processes decode when it is read; its batches equal those of `Packed`.

    `settings` are load_image's, `labels` int64 (N,); with 0 workers this process decodes.
    Raises UserError naming the file if an image is not readable, or if a worker is killed.
    """

    paths: list[Path]
    labels: Tensor
    settings: dict
    workers: int

    def __len__(self) -> int:
        return len(self.labels)

    def on_device(self, device: torch.device) -> "Decoded":
        """Itself: images that are decoded in every epoch are never in memory all at once."""
        return self

    def in_order(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of (images, labels) as the split lists them, the last one shorter."""
        return self.batches(torch.arange(len(self)).split(batch_size))

    def batches(self, indices: Iterable[Tensor], then: Iterable[Tensor] = ()) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of (images, labels), one for each int64 (b,) of `indices`, which may be empty."""
        indices = list(indices)
        loader = DataLoader(
            _Images(self.paths, self.settings),
            batch_size=None,  # an item is a batch already
            sampler=[chosen.tolist() for chosen in indices],
            num_workers=self.workers,
            generator=torch.Generator(),  # else it draws from PyTorch's global one, and dropout would differ
        )
        try:
            for chosen, images in zip(indices, loader, strict=True):
                if isinstance(images, UserError):
                    raise images
                yield images, self.labels[chosen]
        except (RuntimeError, OSError, EOFError) as error:  # the latter two when it dies while handing over a batch
            if isinstance(error, RuntimeError) and "DataLoader worker (pid" not in str(error):
                raise
            raise UserError(
                f"one of {self.workers} worker processes was killed, perhaps for lack of memory; lower pack.workers"
            ) from error


class _Images(Dataset):
    """Batches uint8 (B, H, W, C) by lists of indices."""

    def __init__(self, paths: list[Path], settings: dict):
        self.paths, self.settings = paths, settings

    def __getitem__(self, index: list[int]) -> Tensor | UserError:
        if not index:
            margin = self.settings["margin"] if self.settings["keep_margin"] else 0.0
            size = packed_size(self.settings["image_size"], margin)
            return torch.empty(0, *size, self.settings["channels"], dtype=torch.uint8)
        try:
            images = [load_image(self.paths[one], **self.settings) for one in index]
        except UserError as error:
            return error  # raised here, it would be buried in DataLoader's traceback
        return torch.from_numpy(np.stack(images))


Part = Packed | Streamed | Decoded


def pick(part: Part, indices: list[int]) -> Tensor:
    """The images at `indices`, uint8 (B, H, W, C). Raises UserError naming the file if one is not readable."""
    if isinstance(part, Packed):
        return part.images[indices]
    if isinstance(part, Streamed):
        return part.pick(indices)
    images = _Images(part.paths, part.settings)[indices]
    if isinstance(images, UserError):
        raise images
    return images


def load_part(
    packed: Path, part: str, raw: Path, splits: Path, cache_bytes: float | None = None, processes: int = 1
) -> Part:
    """What the pack stage wrote to `packed` for `part`: arrays, shards, or with `pack.mode` none how to decode the
    files. `cache_bytes` bounds the shards that all `processes` have at hand, None is for reading in order.

    Train images have the packed size, the others image_size. Raises UserError if `packed` is not complete.
    """
    try:
        mode = read_json(packed / PACK_MODE)
        if mode["mode"] == "arrays":
            return Packed.load(packed, part)
        if mode["mode"] == "shards":
            return Streamed.load(packed, part, store_at(mode["store"], packed), cache_bytes, processes)
        preprocessing = read_json(packed / PREPROCESSING)
        labels = torch.from_numpy(np.load(packed / f"{part}_labels.npy"))
        paths = [raw / row["path"] for row in iterate_table(splits / f"{part}.csv")]
    except FileNotFoundError as error:
        raise UserError(f"{error.filename} is missing; run `dvc repro`") from error
    settings = {name: preprocessing[name] for name in SETTINGS} | {"keep_margin": part == "train"}
    return Decoded(paths, labels, settings, workers_of(mode))


def workers_of(mode: dict) -> int:
    """The number of processes that decode, as the pack stage wrote it for `pack.mode` none."""
    return (os.cpu_count() or 1) if mode["workers"] == "auto" else mode["workers"]
