"""The levels of folders below a source, counted from 1: where images part, and where the classes of a split begin."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from pathlib import Path

from vit.errors import UserError


def name_at(image: Path, level: int) -> str:
    return image.parts[level - 1]


def in_folders(images: Iterable[Path], level: int) -> list[Path]:
    """The images that lie in a folder of this level or deeper."""
    return [image for image in images if len(image.parts) > level]


def names_at(images: Iterable[Path], level: int) -> set[str]:
    return {name_at(image, level) for image in in_folders(images, level)}


def by_folder(images: Iterable[Path], level: int) -> dict[str, list[Path]]:
    """The images in each folder of this level."""
    members: dict[str, list[Path]] = defaultdict(list)
    for image in in_folders(images, level):
        members[name_at(image, level)].append(image)
    return dict(members)


def next_fork(images: list[Path], level: int) -> int:
    """The first level from `level` on at which images lie in several folders, or some in none."""
    while len(in_folders(images, level)) == len(images) and len(names_at(images, level)) == 1:
        level += 1
    return level


def first_fork(images: list[Path], called: Path) -> int:
    """The first level at which images lie in several folders. Raises UserError if some lie in none, or all in one."""
    fork = next_fork(images, 1)
    loose = [image for image in images if len(image.parts) == fork]
    folders = names_at(images, fork)
    if loose and (len(folders) > 1 or (folders and fork == 1)):
        raise UserError(f"{called}: '{loose[0].name}' lies beside the class directories, in none of them")
    if loose and fork == 1:
        raise UserError(f"{called}: '{loose[0].name}' lies in no class; one directory per class is expected")
    if loose:
        raise one_class_only(name_at(loose[0], fork - 1), called)
    return fork


def one_class_only(name: str, called: Path) -> UserError:
    return UserError(f"{called}: one class only ('{name}'); a classifier needs one directory per class")


def class_levels(images: list[Path], fork: int, called: Path) -> dict[str, int]:
    """The level of the classes in each split, the splits being the folders of the level `fork`.

    It is where images of that split part next, or a level above on which there is a class of another split. Raises
    UserError for images in no class.
    """
    members = by_folder(images, fork)
    deepest = {split: _deepest(inside, fork, called) for split, inside in members.items()}
    classes = {split: names_at(inside, deepest[split]) for split, inside in members.items()}
    levels = {}
    for split, inside in members.items():
        others = set().union(*(names for other, names in classes.items() if other != split))
        passed = range(fork + 1, deepest[split])
        levels[split] = next((level for level in passed if names_at(inside, level) & others), deepest[split])
    return levels


def _deepest(images: list[Path], split: int, called: Path) -> int:
    level = next_fork(images, split + 1)
    loose = [image for image in images if len(image.parts) == level]
    if loose and (level == split + 1 or len(names_at(images, level)) > 1):
        name = name_at(loose[0], split)
        raise UserError(
            f"{called}: '{loose[0]}' lies in no class; every split needs class directories; move it away, "
            f"or set data.class_level={split} if '{name}' is a class and not a split"
        )
    return level - 1 if loose else level


def hold_the_same(folders: dict[str, list[Path]], level: int) -> bool:
    """Whether all these folders of a level hold folders, mostly of the same names, where they fork next."""
    names = [names_at(images, next_fork(images, level + 1)) for images in folders.values()]
    return all(names) and mostly_shared(names)


def mostly_shared(groups: Collection[set[str]]) -> bool:
    """Whether there are several names, and those of all groups but the largest are mostly in another group, too.

    The largest does not count, as one split may lack many classes of another.
    """
    times = Counter(name for names in groups for name in names)
    names = [name for group in sorted(groups, key=len)[:-1] for name in group]
    return len(times) > 1 and bool(names) and 2 * sum(times[name] > 1 for name in names) >= len(names)
