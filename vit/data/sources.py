"""Where images come from. Every source ends as `<class>/<file>` in one folder."""

import contextlib
import hashlib
import inspect
import logging
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from numbers import Integral
from pathlib import Path

import numpy as np
from PIL import Image

from vit.data.images import SUFFIXES
from vit.errors import UserError
from vit.files import project_root
from vit.params import DataParams

log = logging.getLogger("vit")

IGNORED_FOLDERS = {"__MACOSX"}
PART_NAMES = {"train", "training", "val", "valid", "validation", "test", "testing"}
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")


def fetch(data: DataParams, target: Path) -> str:
    """Fill `target` with `<class>/<file>`; return the version of what was fetched.

    Raises UserError when the source is missing, unreachable, broken or holds no classes.
    """
    if data.source == "digits":
        return _write_digits(target)
    if data.source == "shapes":
        return _write_shapes(data, target)
    if data.source == "folder":
        return copy_classes(project_root() / Path(data.path).expanduser(), target)
    if data.source == "kaggle":
        return _fetch_kaggle(data, target)
    return _fetch_torchvision(data.torchvision_name, target)


def describe(raw: Path) -> dict:
    """Counts per class and one sha256 over the names and bytes of all files below `raw`."""
    digest = hashlib.sha256()
    counts: dict[str, int] = {}
    for path in sorted(path for path in raw.rglob("*") if path.is_file()):
        name = path.relative_to(raw).as_posix()
        counts[name.split("/")[0]] = counts.get(name.split("/")[0], 0) + 1
        digest.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return {"images": sum(counts.values()), "classes": counts, "sha256": digest.hexdigest()}


def _write_digits(target: Path) -> str:
    import sklearn
    from sklearn.datasets import load_digits

    digits = load_digits()
    for index, (pixels, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        _save(np.rint(pixels * (255 / 16)), target / str(label) / f"{index:04d}.png")
    return f"scikit-learn {sklearn.__version__}"


def _write_shapes(data: DataParams, target: Path) -> str:
    row, column = np.mgrid[0:8, 0:8]
    patterns = {
        "horizontal_bars": row // 2 % 2,
        "vertical_bars": column // 2 % 2,
        "diagonal_gradient": (row + column) / 14,
        "checkerboard": (row // 2 + column // 2) % 2,
    }
    generator = np.random.default_rng(data.seed)
    for name, pattern in patterns.items():
        for index in range(data.shapes_per_class):
            noisy = pattern + generator.normal(0, data.shapes_noise, pattern.shape)
            _save(np.rint(255 * noisy.clip(0, 1)), target / name / f"{index:04d}.png")
    return f"seed {data.seed}"


def _save(pixels: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)


def copy_classes(source: Path, target: Path) -> str:
    """Copy the images of a folder or archive to `target`; the source is only read."""
    if not source.exists():
        raise UserError(f"data.path {source}: no such folder or archive")
    if source.is_dir():
        _copy_class_folders(source, target)
        return f"folder {source.name}"
    if not source.name.lower().endswith(ARCHIVES):
        raise UserError(f"data.path {source}: neither a folder nor an archive ({', '.join(ARCHIVES)})")
    with tempfile.TemporaryDirectory(dir=target.parent) as unpacked:
        _unpack(source, Path(unpacked))
        _copy_class_folders(Path(unpacked), target, called=source)
    return f"archive {source.name}"


def _copy_class_folders(root: Path, target: Path, called: Path | None = None) -> None:
    for name, folder in find_classes(root, called or root).items():
        for image in _images_below(folder):
            destination = target / name / image.relative_to(folder)
            destination.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(image, destination)


def find_classes(root: Path, called: Path) -> dict[str, Path]:
    """The class folders below `root`, at whatever depth: the first level at which images lie in several folders.

    Raises UserError if there is no image, no folder around the images, one class only, or a split made already.
    """
    images = _images_below(root)
    if not images:
        raise UserError(
            f"{called}: no images found ({', '.join(sorted(SUFFIXES))}), one directory per class is expected"
        )
    folder = root
    while len(names := {image.relative_to(folder).parts[0] for image in images}) == 1:
        folder = folder / names.pop()
        if folder.is_file() or any(image.parent == folder for image in images):
            raise UserError(f"{called}: one class only ('{folder.name}'); a classifier needs one directory per class")
    loose = [image for image in images if image.parent == folder]
    if loose:
        raise UserError(f"{called}: '{loose[0].name}' lies beside the class directories, in none of them")
    if names_of_parts := sorted(name for name in names if name.lower() in PART_NAMES):
        raise UserError(
            f"{called}: already split into {', '.join(names_of_parts)}, which is not read yet; "
            "unpack it and set data.source=folder and data.path to one of them"
        )
    for inner in sorted(path for path in folder.iterdir() if path.is_dir() and path.name not in names):
        if inner.is_symlink():
            raise UserError(f"{called}: '{inner.name}' is a link, which is not followed; put the folder itself there")
        if not _is_ignored(inner.name):
            log.warning(f"{called}: directory '{inner.name}' holds no image and becomes no class")
    return {name: folder / name for name in sorted(names)}


def _images_below(root: Path) -> list[Path]:
    return sorted(
        path
        for path in root.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and path.is_file()
        and not any(_is_ignored(part) for part in path.relative_to(root).parts)
    )


def _is_ignored(name: str) -> bool:
    return name.startswith(".") or name in IGNORED_FOLDERS


def _unpack(archive: Path, target: Path) -> None:
    try:
        if archive.suffix.lower() == ".zip":
            with zipfile.ZipFile(archive) as opened:
                _refuse_hostile(archive, opened.namelist())
                opened.extractall(target)
        else:
            with tarfile.open(archive) as opened:
                _refuse_hostile(archive, opened.getnames())
                opened.extractall(target, filter="data")
    except tarfile.FilterError as error:
        raise UserError(f"{archive}: {error}; refused") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, tarfile.TarError) as error:
        raise UserError(f"{archive}: broken archive ({error}); get it again") from error
    except (RuntimeError, NotImplementedError) as error:  # a password, or a compression that Python lacks
        raise UserError(f"{archive}: cannot be unpacked ({error}); unpack it yourself and name the folder") from error


def _refuse_hostile(archive: Path, names: list[str]) -> None:
    for name in names:
        if name.startswith(("/", "\\")) or ".." in Path(name).parts:
            raise UserError(f"{archive}: member '{name}' points out of the archive; refused")


def _fetch_kaggle(data: DataParams, target: Path) -> str:
    import kagglehub
    from kagglehub.exceptions import DataCorruptionError, KaggleApiHTTPError
    from requests import RequestException

    handle = data.kaggle_handle
    if data.kaggle_version is not None:
        handle = f"{handle}/versions/{data.kaggle_version}"
    way_out = "or unpack it by hand and set data.source=folder, data.path=FOLDER"
    try:
        folder = Path(kagglehub.dataset_download(handle))
    except KaggleApiHTTPError as error:
        status = error.response.status_code if error.response is not None else "no status"
        raise UserError(
            f"Kaggle answered {status} for '{handle}'; check data.kaggle_handle and data.kaggle_version, {way_out}"
        ) from error
    except DataCorruptionError as error:
        raise UserError(
            f"the download of '{handle}' arrived corrupted and was deleted; run again, {way_out}"
        ) from error
    except RequestException as error:
        reason = type(error).__name__
        raise UserError(f"Kaggle cannot be reached for '{handle}' ({reason}); check the network, {way_out}") from error
    except (zipfile.BadZipFile, tarfile.TarError, ValueError) as error:
        raise UserError(
            f"the download of '{handle}' is not a readable archive ({error}); run again, {way_out}"
        ) from error
    copy_classes(folder, target)
    return folder.name


def _fetch_torchvision(name: str, target: Path) -> str:
    import torchvision

    dataset_class = getattr(torchvision.datasets, name, None)
    arguments = inspect.signature(dataset_class).parameters if inspect.isclass(dataset_class) else {}
    if not {"download", "kwargs"} & set(arguments):
        raise UserError(f"data.torchvision_name '{name}' is no downloadable data set of torchvision.datasets")
    with tempfile.TemporaryDirectory(dir=target.parent) as downloads:
        try:
            parts = _torchvision_parts(partial(dataset_class, root=downloads, download=True), arguments)
        except (OSError, RuntimeError, ValueError, TypeError) as error:
            raise UserError(f"torchvision could not get '{name}' ({error}); check the name and the network") from error
        for part, dataset in parts.items():
            _write_torchvision_part(dataset, part, target)
    return f"torchvision {torchvision.__version__}"


def _torchvision_parts(open_part: Callable, arguments: Iterable[str]) -> dict[str, Sequence]:
    """Every part of a data set, by name: they are pooled, as `split` divides them anew."""
    if "train" in arguments:
        return {"train": open_part(train=True), "test": open_part(train=False)}
    if "split" not in arguments:
        return {"all": open_part()}
    parts = {}
    for name in ("train", "val", "test", "trainval"):
        if name == "trainval" and "train" in parts:
            continue
        with contextlib.suppress(ValueError):  # this data set has no part of that name
            parts[name] = open_part(split=name)
    if not parts:
        raise ValueError("its parts are called neither train, val, test nor trainval")
    return parts


def _write_torchvision_part(dataset, part: str, target: Path) -> None:
    classes = getattr(dataset, "classes", None)
    for index in range(len(dataset)):
        image, label = dataset[index]
        if not isinstance(label, Integral):
            raise UserError(
                f"{type(dataset).__name__} is no classification data set: its targets are {type(label).__name__}"
            )
        folder = target / (str(classes[label]).replace("/", "_") if classes else str(label))
        folder.mkdir(parents=True, exist_ok=True)
        image.save(folder / f"{part}_{index:06d}.png")
