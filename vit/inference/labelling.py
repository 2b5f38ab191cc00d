"""Labelling the files, folders and globs of a command line, batch by batch."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from vit.data.formats import NAMES, is_image
from vit.data.images import load_image, settings_of
from vit.data.remarks import Remarks
from vit.errors import UserError
from vit.inference.classifier import Classifier

log = logging.getLogger("vit")

BATCH_SIZE = 64  # images


@dataclass(frozen=True)
class Prediction:
    """An image file, its pixels uint8 (H, W, C) as the model saw them, and the most likely classes, best first.

    `indices` are the positions of these classes in the model's class order.
    """

    path: Path
    image: np.ndarray
    classes: list[str]
    indices: list[int]
    probabilities: list[float]


def find_images(named: list[str]) -> list[Path]:
    """Image files in the order of `named`, each once; files of a folder or glob are sorted by name.

    A file named explicitly is kept whatever its type. Raises UserError if a folder or a glob has no image.
    """
    found: list[Path] = []
    for name in named:
        if not name:
            raise UserError("an empty argument is not a file name; is a shell variable unset?")
        path = Path(name)
        if path.exists() or not set(name) & set("*?["):
            matches = [path]
        else:
            start = Path(path.anchor)
            matches = sorted(start.glob(str(path.relative_to(start))))
        files = [file for match in matches for file in (_in_folder(match) if match.is_dir() else [match])]
        if not files:
            what = f"no images in this folder ({NAMES})" if path.is_dir() else "no file matches"
            raise UserError(f"{name}: {what}")
        found += files
    return list(dict.fromkeys(found))


def _in_folder(folder: Path) -> list[Path]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return [path for path in files if is_image(path)]


def predictions(
    classifier: Classifier, paths: list[Path], top_k: int, on_failure: Callable[[Path, UserError], None]
) -> Iterator[Prediction]:
    """Label the images in batches; unreadable ones are passed to `on_failure` instead.

    Values that do not suit the model's range are logged at the end.
    """
    settings = settings_of(classifier.config)
    remarks = Remarks()
    for start in range(0, len(paths), BATCH_SIZE):
        readable: list[tuple[Path, np.ndarray]] = []
        for path in paths[start : start + BATCH_SIZE]:
            try:
                readable.append((path, load_image(path, **settings, notice=remarks.of(str(path)))))
            except UserError as error:
                log.debug("an image could not be read", exc_info=True)
                on_failure(path, error)
        if readable:
            images = torch.from_numpy(np.stack([image for _, image in readable]))
            for (path, image), row in zip(readable, classifier.probabilities(images), strict=True):
                indices = np.argsort(-row, kind="stable")[:top_k].tolist()
                names = [classifier.classes[index] for index in indices]
                yield Prediction(path, image, names, indices, row[indices].tolist())
    remarks.tell(log)
