"""The names of classes: as people read them, and valid as folder names."""

import logging
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from vit.data.sources.layout import Placed, refuse_collisions
from vit.data.sources.levels import one_class_only
from vit.data.text import as_read
from vit.errors import UserError

log = logging.getLogger("vit")

LONGEST = 200  # bytes; file systems end at 255


def class_folder(label: str, called: Path | str) -> str:
    """The folder of a class: its name as read, with underscores in place of slashes.

    Raises UserError if a folder cannot have that name.
    """
    name = as_read(label).replace("/", "_").replace("\\", "_")
    if name in ("", ".", "..") or "\0" in name or len(name.encode(errors="replace")) > LONGEST:
        raise UserError(
            f"{called}: '{label[:80]}' cannot be a class name because it cannot be a folder name; change it"
        )
    return name


def class_folders(labels: Iterable[str], called: Path | str) -> dict[str, str]:
    """The folder of each class; spellings that read the same are one class, with a warning.

    Raises UserError as `class_folder`, if two labels that differ would get one folder, and if there is one class only.
    """
    spellings: dict[str, list[str]] = defaultdict(list)
    for label in sorted(set(labels)):
        spellings[class_folder(label, called)].append(label)
    for name, several in spellings.items():
        if len({as_read(label) for label in several}) > 1:
            raise UserError(f"{called}: the classes {several} would share the folder '{name}'; rename all but one")
        if len(several) > 1:
            shown = " and ".join(ascii(label) for label in several)
            log.warning(f"{called}: {shown} read the same ('{name}'), and are one class; rename one if they are not")
    if len(spellings) == 1:
        raise one_class_only(next(iter(spellings)), Path(called))
    return {label: name for name, several in spellings.items() for label in several}


def with_class_names_as_read(placed: list[Placed], called: Path) -> list[Placed]:
    """The same images with the folders of their classes as `class_folders` names them. Raises UserError as it does."""
    folders = class_folders((one.destination.parts[0] for one in placed), called)
    renamed = [
        one._replace(destination=Path(folders[one.destination.parts[0]], *one.destination.parts[1:])) for one in placed
    ]
    refuse_collisions(renamed, called)
    return renamed
