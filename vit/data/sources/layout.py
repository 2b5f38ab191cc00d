"""Which folders of a source are classes and which are splits: by names and nesting, without looking into a file."""

from pathlib import Path
from typing import NamedTuple

from vit.data.sources.levels import class_levels, first_fork, name_at, next_fork, one_class_only
from vit.data.sources.readings import refuse_other_readings
from vit.data.sources.split_folders import all_splits, all_splits_below, refuse_incomplete, splits_above, splits_below
from vit.errors import UserError


class Placed(NamedTuple):
    """An image below its source, the class folder around it, and where it goes; all relative."""

    image: Path
    class_folder: Path
    destination: Path


def arrange(images: list[Path], called: Path, class_level: int | str = "auto") -> list[Placed]:
    """The destination of each image: `<class>/<file>`, or `<class>/<split>/<file>` with the split train, val or test.

    With "auto" the classes are the first level, at whatever depth, at which images lie in several folders, or the next
    such level if those are splits; else the folders of level `class_level`, 1 being those directly in the source.
    Splits are recognised above and inside the classes. `images` are relative to the source, which errors call `called`.
    Raises UserError for images without a class, one class only, and two images that would get one name; with "auto"
    also for folders that can be read in two ways, and a source that is split without train or test.
    """
    placed = _recognised(images, called) if class_level == "auto" else _at_level(images, int(class_level), called)
    classes = {one.destination.parts[0] for one in placed}
    if len(classes) == 1:
        raise one_class_only(classes.pop(), called)
    refuse_collisions(placed, called)
    return placed


def _recognised(images: list[Path], called: Path) -> list[Placed]:
    fork = first_fork(images, called)
    split_level, splits = fork, splits_above(images, fork, called)
    if splits:
        levels = class_levels(images, fork, called)
        level_of = {image: levels[name_at(image, fork)] for image in images}
    else:
        split_level, splits = splits_below(images, fork, called)
        level_of = dict.fromkeys(images, fork)
    refuse_incomplete(splits, set(level_of.values()), called)
    refuse_other_readings(level_of, split_level, called)
    return [_placed(image, level_of[image], level_of[image], split_level, splits) for image in images]


def _at_level(images: list[Path], level: int, called: Path) -> list[Placed]:
    loose = [image for image in images if len(image.parts) <= level]
    if loose:
        raise UserError(
            f"{called}: data.class_level is {level}, but '{loose[0]}' lies in no folder of that level, like "
            f"{len(loose)} of {len(images)} images; move them away or set another level"
        )
    common = next_fork(images, 1) - 1
    above = [upper for upper in range(common + 1, level) if all_splits(images, upper)]
    if above:
        split_level, splits = above[0], all_splits(images, above[0])
    else:
        split_level, splits = all_splits_below(images, level)
    return [_placed(image, level, common, split_level, splits) for image in images]


def _placed(image: Path, level: int, dropped: int, split_level: int, splits: dict[str, str]) -> Placed:
    """`level` is that of the class; folders down to the level `dropped` leave no trace in the name."""
    folders = enumerate(image.parts[:-1], 1)
    kept = [name for at, name in folders if at > dropped and at not in (level, split_level)]
    split = [splits[name_at(image, split_level)]] if splits else []
    return Placed(image, Path(*image.parts[:level]), Path(name_at(image, level), *split, *kept, image.name))


def refuse_collisions(placed: list[Placed], called: Path) -> None:
    """Raise UserError if two images would get one name."""
    taken: dict[Path, Path] = {}
    for image, _, destination in placed:
        if destination in taken:
            raise UserError(
                f"{called}: '{taken[destination]}' and '{image}' would both become '{destination}'; rename one"
            )
        taken[destination] = image
