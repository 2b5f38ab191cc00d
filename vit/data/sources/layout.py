"""Which folders of a source are classes and which are parts: by names alone, without looking into a file."""

from pathlib import Path
from typing import NamedTuple

from vit.errors import UserError

SPELLINGS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}


class Placed(NamedTuple):
    """An image below its source, the class folder around it, and where it goes; all relative."""

    image: Path
    class_folder: Path
    destination: Path


def arrange(images: list[Path], called: Path) -> list[Placed]:
    """Say where each image goes: `<class>/<file>`, or `<class>/<part>/<file>` with the part spelled train, val or test.

    The classes are the first level, at whatever depth, at which images lie in several folders. `<part>/<class>` and
    `<class>/<part>` are recognised by the names of `SPELLINGS`, in any case. `images` are relative to the source, which
    errors call `called`. Raises UserError for images without class folders, one class only, folders that are parts
    only in part, parts without train or test, and two images that would get one name.
    """
    depth = _first_fork(images, 0, called)
    parts = _parts([image.parts[depth] for image in images], called)
    if parts:
        for image in images:
            if len(image.parts) == depth + 2:
                raise UserError(
                    f"{called}: '{image}' lies in no class; every part needs class directories, move away what has none"
                )
        level = _first_fork(images, depth + 1, called)
        placed = [_placed(image, level, parts[image.parts[depth]], level + 1) for image in images]
    else:
        parts = _parts_of_classes(images, depth, called)
        placed = [
            _placed(image, depth, parts[image.parts[depth + 1]], depth + 2)
            if parts
            else _placed(image, depth, None, depth + 1)
            for image in images
        ]
    _refuse_collisions(placed, called)
    return placed


def _placed(image: Path, level: int, part: str | None, rest: int) -> Placed:
    """`level` is the depth of the class folder, `rest` the depth from which on the names are kept."""
    folders = [image.parts[level], part] if part else [image.parts[level]]
    return Placed(image, Path(*image.parts[: level + 1]), Path(*folders, *image.parts[rest:]))


def _first_fork(images: list[Path], depth: int, called: Path) -> int:
    """The first level from `depth` on at which images lie in several folders."""
    start = depth
    while True:
        loose = [image for image in images if len(image.parts) == depth + 1]
        folders = {image.parts[depth] for image in images if len(image.parts) > depth + 1}
        if loose and (len(folders) > 1 or (folders and depth == start)):
            raise UserError(f"{called}: '{loose[0].name}' lies beside the class directories, in none of them")
        if loose and depth == start:
            raise UserError(f"{called}: '{loose[0].name}' lies in no class; one directory per class is expected")
        if loose:
            name = loose[0].parts[depth - 1]
            raise UserError(f"{called}: one class only ('{name}'); a classifier needs one directory per class")
        if len(folders) > 1:
            return depth
        depth += 1


def _parts(names: list[str], called: Path) -> dict[str, str]:
    """The part that each name of one level of folders means; empty if none is the name of a part."""
    parts = {name: SPELLINGS[name.lower()] for name in sorted(set(names)) if name.lower() in SPELLINGS}
    others = sorted(set(names) - parts.keys())
    if parts and others:
        raise UserError(
            f"{called}: {_listed(parts)} would be a part of a split data set, but {_listed(others)} beside it is none; "
            "put all images into parts (train, val, test), or rename it if it is no part"
        )
    if missing := [part for part in ("train", "test") if parts and part not in parts.values()]:
        raise UserError(
            f"{called}: already split into {_listed(parts)}, without {' and '.join(missing)}; name the parts "
            "train, val (may be absent) and test, or put all images into one directory per class"
        )
    return parts


def _parts_of_classes(images: list[Path], depth: int, called: Path) -> dict[str, str]:
    """The same for the folders inside the classes, which lie at `depth`; there may be images beside them."""
    inner = [image.parts[depth + 1] for image in images if len(image.parts) > depth + 2]
    parts = {name for name in inner if name.lower() in SPELLINGS}
    loose = [image for image in images if len(image.parts) == depth + 2]
    if parts and loose:
        raise UserError(
            f"{called}: '{loose[0]}' lies in no part, while other images lie in {_listed(parts)}; "
            "put all images into parts (train, val, test), or rename what is no part"
        )
    return _parts(inner, called)


def _listed(names) -> str:
    shown = sorted(names)
    return ", ".join(f"'{name}'" for name in shown[:5]) + (f" and {len(shown) - 5} more" if len(shown) > 5 else "")


def _refuse_collisions(placed: list[Placed], called: Path) -> None:
    taken: dict[Path, Path] = {}
    for image, _, destination in placed:
        if destination in taken:
            raise UserError(
                f"{called}: '{taken[destination]}' and '{image}' would both become '{destination}'; rename one"
            )
        taken[destination] = image
