"""Where images come from. Every source ends as `<class>/<file>` or `<class>/<part>/<file>` in one folder."""

import hashlib
from collections import Counter
from pathlib import Path

from vit.config.schema import DataParams
from vit.data.manifest import PARTS, given_part, list_images
from vit.data.sources.embedded import write_digits, write_shapes
from vit.data.sources.folder import copy_source
from vit.data.sources.kaggle import fetch_kaggle
from vit.data.sources.torchvision_sets import fetch_torchvision
from vit.errors import UserError
from vit.files import project_root


def fetch(data: DataParams, raw: Path, tables: Path) -> dict:
    """Fill `raw` with `<class>/[train|val|test/]<file>` and `tables` with the CSV files that lie beside the classes.

    Returns what is known of the source: `version`; for Kaggle its title, owner, licence, url and citation as far as
    Kaggle gives them; `ignored`, the files that are no images by their ending; `skipped_links`.
    Raises UserError when the source is missing, unreachable, broken or holds no classes.
    """
    if data.source == "digits":
        return {"version": write_digits(raw)}
    if data.source == "shapes":
        return {"version": write_shapes(data, raw)}
    if data.source == "folder":
        return copy_source(_absolute(data.path), raw, tables)
    if data.source == "kaggle":
        return fetch_kaggle(data, raw, tables)
    return {"version": fetch_torchvision(data.torchvision_name, raw)}


def describe(raw: Path) -> dict:
    """Images, counts per class and, if all images lie in parts, per part; one sha256 over all names and bytes."""
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


def _absolute(path: str) -> Path:
    if path.split("/")[0] == "~":
        raise UserError(f"data.path '{path}': DVC does not know '~'; set data.path={Path(path).expanduser()}")
    absolute = project_root() / path
    if not Path(path).is_absolute() and Path.cwd() != project_root():
        # The copy that such a run works in holds what git tracks: a folder of images is missing there or not whole.
        raise UserError(
            f"data.path '{path}' is relative, which a queue or temp run cannot follow; set data.path={absolute}"
        )
    return absolute
