"""Where images come from. Every source becomes `<class>/<file>` or `<class>/<split>/<file>` in one folder."""

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vit.config.schema import DataParams
from vit.data.manifest import PARTS, given_part, list_images
from vit.data.sources.digits import fetch_digits
from vit.data.sources.folder import fetch_folder
from vit.data.sources.huggingface import fetch_huggingface
from vit.data.sources.kaggle import fetch_kaggle
from vit.data.sources.shapes import fetch_shapes
from vit.data.sources.torchvision_sets import fetch_torchvision


@dataclass(frozen=True)
class Source:
    """How a source is fetched, and the paths that DVC must watch for it, as dvc.yaml spells them.

    `fetch(data, raw, tables)` fills `raw` with `<class>/[train|val|test/]<file>` and `tables` with the CSV files that
    lie beside the classes. It returns what is known of the source: `version`, and where it applies title, owner,
    licence, url, citation; `ignored`, the files that are no images; `skipped_links`. It raises UserError if the source
    is missing, unreachable, broken or holds no classes.
    """

    fetch: Callable[[DataParams, Path, Path], dict]
    watched: tuple[str, ...] = ()


SOURCES = {
    "digits": Source(fetch_digits),
    "shapes": Source(fetch_shapes),
    "folder": Source(fetch_folder, watched=("${data.path}",)),
    "kaggle": Source(fetch_kaggle),
    "torchvision": Source(fetch_torchvision),
    "huggingface": Source(fetch_huggingface),
}


def fetch(data: DataParams, raw: Path, tables: Path) -> dict:
    """Fetch `data.source`, as its entry in SOURCES does."""
    return SOURCES[data.source].fetch(data, raw, tables)


def describe(raw: Path) -> dict:
    """Images, counts per class and, if all images lie in splits, per split; one sha256 over all names and bytes."""
    digest = hashlib.sha256()
    classes, parts = Counter(), Counter()
    for image in list_images(raw):
        classes[image.label] += 1
        if part := given_part(image.path):
            parts[part] += 1
        digest.update(f"{image.path}\0{hashlib.sha256((raw / image.path).read_bytes()).hexdigest()}\n".encode())
    record = {"images": classes.total(), "classes": dict(classes)}
    if parts.total() == classes.total():
        record["parts"] = {part: parts[part] for part in PARTS if parts[part]}
    return record | {"sha256": digest.hexdigest()}
