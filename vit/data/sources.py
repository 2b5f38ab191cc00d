"""Where images come from. Every source ends as `<class>/<file>` in one folder."""

import hashlib
import inspect
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from vit.data.images import SUFFIXES
from vit.errors import UserError
from vit.files import project_root
from vit.params import DataParams

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
        raise UserError(f"{called}: already split into {', '.join(names_of_parts)}; point data.path at one of them")
    return {name: folder / name for name in sorted(names)}


def _images_below(root: Path) -> list[Path]:
    return sorted(
        path
        for path in root.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") or part in IGNORED_FOLDERS for part in path.relative_to(root).parts)
    )


def _unpack(archive: Path, target: Path) -> None:
    try:
        if archive.suffix.lower() == ".zip":
            with zipfile.ZipFile(archive) as opened:
                for name in opened.namelist():
                    if name.startswith(("/", "\\")) or ".." in Path(name).parts:
                        raise UserError(f"{archive}: member '{name}' points out of the archive; refused")
                opened.extractall(target)
        else:
            with tarfile.open(archive) as opened:
                opened.extractall(target, filter="data")
    except tarfile.FilterError as error:
        raise UserError(f"{archive}: {error}; refused") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, tarfile.TarError) as error:
        raise UserError(f"{archive}: broken archive ({error}); get it again") from error


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
    if "download" not in arguments:
        raise UserError(f"data.torchvision_name '{name}' is no downloadable data set of torchvision.datasets")
    if "train" in arguments:
        parts = [{"train": True}, {"train": False}]
    elif "split" in arguments:
        parts = [{"split": "train"}, {"split": "test"}]
    else:
        parts = [{}]
    with tempfile.TemporaryDirectory(dir=target.parent) as downloads:
        for part in parts:
            try:
                dataset = dataset_class(root=downloads, download=True, **part)
            except (OSError, RuntimeError, ValueError) as error:
                raise UserError(f"torchvision could not get '{name}' ({error}); check the network") from error
            _write_torchvision_part(dataset, "-".join(f"{key}_{value}" for key, value in part.items()), target)
    return f"torchvision {torchvision.__version__}"


def _write_torchvision_part(dataset, part: str, target: Path) -> None:
    classes = getattr(dataset, "classes", None)
    for index in range(len(dataset)):
        image, label = dataset[index]
        if not isinstance(label, int):
            raise UserError(
                f"{type(dataset).__name__} is no classification data set: its targets are {type(label).__name__}"
            )
        folder = target / (str(classes[label]).replace("/", "_") if classes else str(label))
        folder.mkdir(parents=True, exist_ok=True)
        image.save(folder / f"{part}_{index:06d}.png")
