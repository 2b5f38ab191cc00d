"""Which folders of a source are its splits: those above its classes, or those inside each class."""

from pathlib import Path

from vit.data.sources.levels import by_folder, hold_the_same, in_folders, name_at, names_at, next_fork
from vit.data.sources.readings import listed, unclear
from vit.data.sources.split_names import splits_mentioned, splits_named, words_of
from vit.errors import UserError


def splits_above(images: list[Path], fork: int, called: Path) -> dict[str, str]:
    """The split that each folder of the level `fork` is, if they are splits. Raises UserError if that is unclear."""
    names = names_at(images, fork)
    if splits := all_splits(images, fork):
        return splits
    mentioned = splits_mentioned(names)
    if splits := splits_named(names):
        raise _only_some(splits, names, images, [fork, fork + 1], called)
    if (
        len(mentioned) == len(names) == len(set(mentioned.values()))
        and len({rest for _, rest in mentioned.values()}) == 1
    ):
        raise unclear(f"{listed(names)} are classes or splits", images, [fork, fork + 1], called)
    return {}


def all_splits(images: list[Path], level: int) -> dict[str, str]:
    """The split that each folder of a level is, if all of them are splits.

    Names that mean one suffice; names that only mention one, as `PublicTest`, if the folders hold the same classes.
    """
    names = names_at(images, level)
    splits = splits_named(names)
    if len(splits) < len(names):
        splits = {name: split for name, (split, _) in splits_mentioned(names).items()} | splits
        if len(set(splits.values())) < 2 or not hold_the_same(by_folder(images, level), level):
            return {}
    return splits if len(splits) == len(names) else {}


def splits_below(images: list[Path], fork: int, called: Path) -> tuple[int, dict[str, str]]:
    """A level below the classes, which lie at `fork`, and the split that each folder there is; 0 and nothing if none.

    Raises UserError if only some are.
    """
    level, splits, names = _named_below(images, fork)
    loose = [image for image in images if len(image.parts) <= level]
    if splits and loose:
        raise UserError(
            f"{called}: '{loose[0]}' lies in no split, while other images lie in {listed(splits)}; put all images into "
            f"splits (train, val, test), rename folders that are not splits, or set data.class_level={fork} if none is"
        )
    if splits and len(splits) < len(names):
        raise _only_some(splits, names, images, [fork], called)
    return (level, splits) if splits else (0, {})


def all_splits_below(images: list[Path], fork: int) -> tuple[int, dict[str, str]]:
    """As `splits_below`, and nothing where only some are splits."""
    level, splits, names = _named_below(images, fork)
    whole = len(splits) == len(names) and len(in_folders(images, level)) == len(images)
    return (level, splits) if splits and whole else (0, {})


def _named_below(images: list[Path], fork: int) -> tuple[int, dict[str, str], set[str]]:
    level = next_fork(images, fork + 1)
    class_of = {name_at(image, level): name_at(image, fork) for image in in_folders(images, level)}
    splits = splits_named(set(class_of))
    for name, (split, rest) in splits_mentioned(set(class_of)).items():
        if rest == words_of(class_of[name]):  # cats/cats_train
            splits.setdefault(name, split)
    return level, splits, set(class_of)


def refuse_incomplete(splits: dict[str, str], levels: set[int], called: Path) -> None:
    """Raise UserError for a source that is split without train or without test; the classes lie at one of `levels`."""
    missing = [split for split in ("train", "test") if splits and split not in splits.values()]
    if missing:
        anew = f", set data.class_level={levels.pop()} to split all images again" if len(levels) == 1 else ""
        raise UserError(
            f"{called}: already split into {listed(splits)}, without {' and '.join(missing)}; name the splits train, "
            f"val (may be absent) and test{anew}, or put all images into one directory per class"
        )


def _only_some(
    splits: dict[str, str], names: set[str], images: list[Path], levels: list[int], called: Path
) -> UserError:
    return unclear(
        f"{listed(splits)} would be a split of the data set, but {listed(names - splits.keys())} beside it is none; "
        "put all images into splits (train, val, test), rename it if it is not a split, or name the class folders",
        images,
        levels,
        called,
    )
