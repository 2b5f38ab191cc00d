"""Data sets that torchvision downloads, with their official splits."""

import contextlib
import inspect
import logging
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from numbers import Integral
from pathlib import Path

from vit.config.schema import DataParams
from vit.errors import UserError
from vit.files import temporary_folder

log = logging.getLogger("vit")

# torchvision's name of a split -> ours
PARTS = {"train": "train", "val": "val", "valid": "val", "test": "test"}


def fetch_torchvision(data: DataParams, raw: Path, tables: Path) -> dict:
    """Write the images of `data.torchvision_name` as PNG to `raw`/<class>/<split>/<number>.png.

    Without official train and test splits: `<class>/<number>.png`. Raises UserError if there is no such classification
    data set or it cannot be downloaded.
    """
    import torchvision

    name = data.torchvision_name
    dataset_class = getattr(torchvision.datasets, name, None)
    arguments = inspect.signature(dataset_class).parameters if inspect.isclass(dataset_class) else {}
    if dataset_class is None or not {"download", "kwargs"} & set(arguments):
        raise UserError(f"data.torchvision_name '{name}' is not a downloadable data set of torchvision.datasets")
    with temporary_folder(raw.parent / "downloads") as downloads:
        try:
            parts = _open_parts(partial(dataset_class, root=downloads, download=True), arguments)
        except (OSError, RuntimeError, ValueError, TypeError) as error:
            raise UserError(f"torchvision could not get '{name}' ({error}); check the name and the network") from error
        keeps_parts = {"train", "test"} <= parts.keys()
        if not keeps_parts and len(parts) > 1:
            log.info(f"{name}: splits {', '.join(parts)} are pooled, as one of train and test is missing")
        for part, dataset in parts.items():
            prefix = f"{part}/" if keeps_parts else f"{part}_" if len(parts) > 1 else ""
            _write_images(dataset, raw, prefix)
    return {"version": f"torchvision {torchvision.__version__}"}


def _open_parts(open_part: Callable, arguments: Iterable[str]) -> dict[str, Sequence]:
    """Every split of a data set by our name for it; a single one named `all` if it has none."""
    if "train" in arguments:
        return {"train": open_part(train=True), "test": open_part(train=False)}
    if "split" not in arguments:
        return {"all": open_part()}
    parts = {}
    for name, part in PARTS.items():
        with contextlib.suppress(ValueError):  # this data set has no split of that name
            parts[part] = open_part(split=name)
    if "train" not in parts:
        with contextlib.suppress(ValueError):
            parts["train"] = open_part(split="trainval")
    if not parts:
        raise ValueError(f"its splits are called neither {', '.join(PARTS)} nor trainval")
    return parts


def _write_images(dataset, target: Path, prefix: str) -> None:
    classes = getattr(dataset, "classes", None)
    for index in range(len(dataset)):
        image, label = dataset[index]
        if not isinstance(label, Integral):
            raise UserError(
                f"{type(dataset).__name__} is not a classification data set: its targets are {type(label).__name__}"
            )
        name = classes[label] if classes else label
        if isinstance(name, tuple):  # synonyms, as for ImageNet's classes
            name = name[0]
        path = target / str(name).replace("/", "_") / f"{prefix}{index:06d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)
