"""The ways in which the folders of a source can be read, and the error where more than one makes sense."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from vit.data.sources.levels import in_folders, mostly_shared, name_at
from vit.errors import UserError

SHOWN = 5


def refuse_other_readings(images: dict[Path, int], split_level: int, called: Path) -> None:
    """Raise UserError if folders below the classes may also be the classes.

    That is so if classes hold folders of the same names, at any depth, or if one holds folders named like the other
    classes. `images` maps each to the level of its class; folders at `split_level` are splits.
    """
    below: dict[int, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    images_below: Counter[int] = Counter()
    for image, level in images.items():
        for step, name in enumerate(image.parts[level:-1], 1):
            below[step][name_at(image, level)].add(name)
            images_below[step] += 1
    class_level = Counter(images.values()).most_common(1)[0][0]
    steps = [step for step in sorted(below) if class_level + step != split_level]
    also = [step for step in steps if 2 * images_below[step] > len(images) and mostly_shared(below[step].values())]
    if also:
        readings = [class_level, *(class_level + step for step in also)]
        names = set().union(*below[also[0]].values())
        raise unclear(f"which folders are the classes? Several hold {listed(names)}", list(images), readings, called)
    classes = {name_at(image, level) for image, level in images.items()}
    for name, names in below[1].items() if 1 in steps else ():
        if names <= classes - {name} and not _holds_images(name, images):
            reason = f"which folders are the classes? '{name}' holds {listed(names)}, which are also beside it"
            raise unclear(reason, list(images), [class_level, class_level + 1], called)


def _holds_images(name: str, images: dict[Path, int]) -> bool:
    return any(len(image.parts) == level + 1 and name_at(image, level) == name for image, level in images.items())


def unclear(reason: str, images: list[Path], levels: Iterable[int], called: Path) -> UserError:
    """An error that says which classes each of these levels would give."""
    readings = [reading for level in levels if (reading := _reading(images, level))]
    return UserError(f"{called}: {reason}. {'; '.join(readings)}".removesuffix(". "))


def _reading(images: list[Path], level: int) -> str:
    inside = in_folders(images, level)
    counts = Counter(name_at(image, level) for image in inside)
    if len(counts) < 2:
        return ""
    outside = f", and {len(images) - len(inside)} images in no class" if len(inside) < len(images) else ""
    return f"data.class_level={level}: {len(counts)} classes, {counted(counts, SHOWN)}{outside}"


def counted(counts: Mapping[str, int], most: int) -> str:
    """Up to `most` names with their counts, and how many more: `'cat' 52, 'dog' 48 and 3 more (10 to 60 each)`."""
    shown = sorted(counts)[:most]
    others = [count for name, count in counts.items() if name not in shown]
    more = f" and {len(others):,} more ({min(others):,} to {max(others):,} each)" if others else ""
    return ", ".join(f"'{name}' {counts[name]:,}" for name in shown) + more


def listed(names: Iterable[str]) -> str:
    shown = sorted(names)
    more = f" and {len(shown) - SHOWN} more" if len(shown) > SHOWN else ""
    return ", ".join(f"'{name}'" for name in shown[:SHOWN]) + more
