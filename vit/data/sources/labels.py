"""Classes from a table of labels beside the images: a line per image instead of folders, like Kaggle's train.csv."""

import logging
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from vit.config.schema import DataParams
from vit.data.join import Index, Known, refuse_no_match
from vit.data.sources.class_names import class_folders
from vit.data.sources.label_columns import choose_columns, names_of_labels
from vit.data.sources.layout import Placed, refuse_collisions
from vit.data.sources.split_names import splits_named
from vit.data.tables import Line, read_csv
from vit.data.text import as_read, values_as_read
from vit.errors import UserError

log = logging.getLogger("vit")


class LabelTable(NamedTuple):
    """The parameters `data.labels`, `data.file_column`, `data.label_column` and `data.class_names`."""

    file: str
    file_column: str | None = None
    label_column: str | None = None
    class_names: str | None = None


def label_table(data: DataParams) -> LabelTable | None:
    """The parameters of a table of labels; None if folders are the classes."""
    if data.labels is None:
        return None
    return LabelTable(data.labels, data.file_column, data.label_column, data.class_names)


def arrange_by_table(
    root: Path, images: list[Path], wanted: LabelTable, called: Path, root_name: str
) -> tuple[list[Placed], dict[str, int]]:
    """The destination of each labelled image, as `arrange` gives it, and counts of what the table and the images lack.

    `images` are relative to `root`. Left out, with a warning, are lines that name no image, lines without a label,
    images without a line, and images that two lines label differently. Raises UserError for a table that is missing,
    whose columns are unclear, that names no image or an ambiguous one, or that labels most images twice.
    """
    table = _read(root, wanted.file, "data.labels", called)
    index = Index([Known(image.as_posix(), root=root_name) for image in images])
    file_column, label_column = choose_columns(index, table, wanted.file_column, wanted.label_column, wanted.file)
    names = [line[file_column] for line in table]
    matched = _matched(index, names, wanted.file)
    labels = values_as_read(line[label_column] for line in table)
    if wanted.class_names:
        named = _read(root, wanted.class_names, "data.class_names", called)
        names_of = names_of_labels({label for label in labels if label}, named, label_column, wanted.class_names)
        labels = [names_of.get(label, "") for label in labels]
    found, counts = _one_label_each(index, names, matched, labels, wanted.file)
    if len(set(found.values())) == len(found) > 1:
        raise UserError(
            f"data.labels '{wanted.file}': each of the {len(found)} images has a label of its own in column "
            f"'{label_column}'; set data.label_column to the column of classes"
        )
    folders = class_folders(found.values(), f"data.labels '{wanted.file}'")
    placed = _placed({images[number]: folders[label] for number, label in sorted(found.items())}, called)
    refuse_collisions(placed, called)
    return placed, counts


def _read(root: Path, file: str, parameter: str, called: Path) -> list[Line]:
    path = root / file
    if not path.is_file():
        there = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.csv"))
        listed = ", ".join(f"'{name}'" for name in there[:5]) if there else "no CSV at all"
        raise UserError(f"{parameter} '{file}': no such file in {called}; it holds {listed}")
    table = read_csv(path)
    if not table:
        raise UserError(f"{parameter} '{file}': it has no lines below its header")
    return table


def _matched(index: Index, names: list[str], file: str) -> list[int | None]:
    """The image of each line; of several, the one in the folder named like the table: `train` for `train.csv`."""
    folder = as_read(Path(file).stem)
    found = []
    for name in names:
        images = index.find(name) or index.find_bare(name)
        if len(images) > 1:
            images = [number for number in images if folder in Path(index.images[number].path).parts[:-1]] or images
        found.append(images)
    matched = index.one_of(found, names, f"data.labels '{file}'")
    if not any(found):
        refuse_no_match(index, names, f"data.labels '{file}'")
    return matched


def _one_label_each(
    index: Index, names: list[str], matched: list[int | None], labels: list[str], file: str
) -> tuple[dict[int, str], dict[str, int]]:
    """The label of each image that has one, and the counts of the rest, with a warning that shows examples."""
    said: dict[int, set[str]] = defaultdict(set)
    lines: dict[int, int] = defaultdict(int)
    for image, label in zip(matched, labels, strict=True):
        if image is not None and label:
            said[image].add(as_read(label))
            lines[image] += 1
    both = zip(names, matched, labels, strict=True)
    strangers, unlabelled = [], []
    for name, image, label in both:
        if image is None:
            strangers.append(name)
        elif not label:
            unlabelled.append(name)
    in_a_line = {image for image in matched if image is not None}
    without = [image.path for number, image in enumerate(index.images) if number not in in_a_line]
    torn = [index.images[image].path for image, several in said.items() if len(several) > 1]
    repeated = [index.images[image].path for image, several in said.items() if lines[image] > 1 == len(several)]
    if 2 * len(torn) > len(said):
        raise UserError(
            f"data.labels '{file}': {len(torn)} of {len(said)} images have several labels, such as '{torn[0]}'; a "
            "classifier needs one label for each, set data.label_column to another column"
        )
    for what, examples in (
        ("lines name no image here", strangers),
        ("lines have no label; their images are left out", unlabelled),
        ("images have no line and are left out", without),
        ("images have contradictory labels and are left out", torn),
        ("images have several lines with the same label and are used once", repeated),
    ):
        if examples:
            log.warning(f"data.labels '{file}': {len(examples)} {what}, such as '{examples[0]}'")
    counts = {
        "lines": len(names),
        "unknown_files": len(strangers),
        "lines_without_label": len(unlabelled),
        "images_without_line": len(without),
        "contradictory_images": len(torn),
        "repeated_images": len(repeated),
    }
    return {image: next(iter(labels)) for image, labels in said.items() if len(labels) == 1}, counts


def _placed(folder_of: dict[Path, str], called: Path) -> list[Placed]:
    """`<class>/<path below the folder that holds all>`; folders that are train, test and perhaps val stay splits."""
    common = _common_folder(list(folder_of))
    below = {image: image.parts[len(common) :] for image in folder_of}
    upper = {parts[0] for parts in below.values() if len(parts) > 1}
    splits = splits_named(upper)
    if any(len(parts) == 1 for parts in below.values()) or splits.keys() != upper:
        splits = {}
    elif not {"train", "test"} <= set(splits.values()):
        log.warning(f"{called}: folders {sorted(upper)} are pooled, as one of train and test is missing")
        splits = {}
    placed = []
    for image, folder in folder_of.items():
        parts = below[image]
        kept = (splits[parts[0]], *parts[1:]) if splits else parts
        placed.append(Placed(image, image, Path(folder, *kept)))
    return placed


def _common_folder(images: list[Path]) -> tuple[str, ...]:
    folders = [image.parts[:-1] for image in images]
    first, last = min(folders), max(folders)
    length = next(
        (at for at, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last))
    )
    return first[:length]
