"""The join of tables and images: which image a name in a table means, and how many names and images match."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from vit.data.text import name_as_read
from vit.errors import UserError

log = logging.getLogger("vit")


class Known(NamedTuple):
    """An image's paths, by which a table may name it: in data/raw, and at its source (`` if that is the same).

    `root` is the name of the source's folder or archive, which may precede the path at the source.
    """

    path: str
    source: str = ""
    root: str = ""

    def shown(self) -> str:
        return f"'{self.path}'" + (f" (at the source '{self.source}')" if self.source else "")


class Index:
    """Looks images up by a whole path, by the end of one, or by either without the ending of the file's name."""

    def __init__(self, images: Sequence[Known]):
        self.images = images
        self._whole: dict[str, list[int]] = defaultdict(list)
        self._rooted: dict[str, list[int]] = defaultdict(list)
        self._tail: dict[str, list[int]] = defaultdict(list)
        for number, image in enumerate(images):
            here, there, root = map(name_as_read, (image.path, image.source or image.path, image.root))
            rooted = f"{root}/{there}" if root else there
            _add(self._whole, {here, there, rooted}, number)
            _add(self._rooted, {rooted} if root else set(), number)
            _add(self._tail, {*_tails(here), *_tails(rooted)}, number)
        self._levels = (self._whole, self._tail)
        self._bare_levels: tuple[dict[str, list[int]], ...] = ()

    def find(self, name: str) -> list[int]:
        """The numbers of the images that a file name or path may mean: none, one, or several where it is ambiguous."""
        name = name_as_read(name)
        if not name:
            return []
        for level in self._levels:
            if found := level.get(name):
                return found
        # An absolute path, or one from a folder above the source.
        return next((self._rooted[tail] for tail in _tails(name) if tail in self._rooted), [])

    def find_bare(self, name: str) -> list[int]:
        """The same for a name without its ending, such as an id."""
        if not self._bare_levels:
            self._bare_levels = tuple(map(_without_endings, self._levels))
        name = name_as_read(name)
        return next((level[name] for level in self._bare_levels if name in level), []) if name else []

    def one_of(self, found: list[list[int]], names: Sequence[str], called: str) -> list[int | None]:
        """For each name the one image found for it, or None. Raises UserError if a name may mean two images."""
        doubtful = [number for number, images in enumerate(found) if len(images) > 1]
        if doubtful:
            first = doubtful[0]
            may_mean = " or ".join(self.images[image].shown() for image in found[first][:2])
            raise UserError(
                f"{called}: {len(doubtful)} of {len(names)} names are ambiguous: '{names[first]}' may mean {may_mean}; "
                "write the folder before the name"
            )
        return [images[0] if images else None for images in found]


def refuse_no_match(index: Index, names: Sequence[str], called: str) -> None:
    """Raise the UserError of a table in which no name matches, with an example of each side."""
    named = f"such as '{next(filter(None, names), '')}'"
    raise UserError(
        f"{called}: none of its {len(names)} lines names one of the {len(index.images)} images; they hold {named}, and "
        f"the images have paths such as {index.images[0].shown()}"
    )


def tell_unmatched(
    index: Index, names: Sequence[str], matched: Sequence[int | None], called: str, every_image: bool
) -> None:
    """Log how many lines name no image and, with `every_image`, how many images have no line; an example of each.

    It is a warning if the table is at fault: a list should name images, and a column should have a value for each.
    """
    strangers = [name for name, image in zip(names, matched, strict=True) if image is None]
    said = set(matched)
    unnamed = [image for number, image in enumerate(index.images) if number not in said] if every_image else []
    told = []
    if unnamed:
        told.append(f"{len(unnamed)} of {len(index.images)} images have no line, such as {unnamed[0].shown()}")
    if strangers:
        told.append(f"{len(strangers)} of {len(names)} lines name no image here, such as '{strangers[0]}'")
    if told:
        level = logging.WARNING if unnamed or not every_image else logging.INFO
        log.log(level, f"{called}: {'; '.join(told)}")


def _add(level: dict[str, list[int]], names: Iterable[str], number: int) -> None:
    for name in names:
        level[name].append(number)


def _tails(path: str) -> list[str]:
    """The path and all its ends, from the whole path down to the file name."""
    parts = path.split("/")
    return ["/".join(parts[start:]) for start in range(len(parts))]


def _without_endings(level: dict[str, list[int]]) -> dict[str, list[int]]:
    bare: dict[str, list[int]] = defaultdict(list)
    for name, images in level.items():
        folder, slash, file = name.rpartition("/")
        stem, dot, _ = file.rpartition(".")
        if dot and stem:
            bare[f"{folder}{slash}{stem}"] += [image for image in images if image not in bare[f"{folder}{slash}{stem}"]]
    return bare
