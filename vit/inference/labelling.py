"""Labelling the files, folders and globs of a command line, batch by batch."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
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
COLUMNS = ("image", "rank", "label", "index", "probability")  # of the table of predictions


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

    def rows(self) -> list[list[object]]:
        """The rows of its table, under COLUMNS."""
        ranked = zip(self.classes, self.indices, self.probabilities, strict=True)
        return [[self.path, rank, *row] for rank, row in enumerate(ranked, 1)]


def label_file(classifier: Classifier, name: str, content: bytes, top_k: int) -> Prediction:
    """Label the bytes of one image file as `vit predict` labels a file of this name, with the same errors.

    Raises UserError if it is not a readable image.
    """
    remarks = Remarks()
    try:
        image = load_image(BytesIO(content), **settings_of(classifier.config), notice=remarks.of(name))
    except UserError as error:
        raise UserError(f"{name}: {str(error).removeprefix('image: ')}") from error
    remarks.tell(log)
    (row,) = classifier.probabilities(torch.from_numpy(np.array(image[None])))  # Pillow's memory is read-only
    return _prediction(classifier, Path(name), image, row, top_k)


def _prediction(classifier: Classifier, path: Path, image: np.ndarray, row: np.ndarray, top_k: int) -> Prediction:
    indices = np.argsort(-row, kind="stable")[:top_k].tolist()
    return Prediction(path, image, [classifier.classes[index] for index in indices], indices, row[indices].tolist())


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
                yield _prediction(classifier, path, image, row, top_k)
    remarks.tell(log)
