"""The use of the columns and splits of a hub's data set: by the parameters, or by their types and names."""

from collections.abc import Mapping
from typing import NamedTuple

from vit.config.schema import DataParams
from vit.data.sources.label_columns import LABEL_HEADERS
from vit.data.sources.split_names import splits_named
from vit.data.text import as_read
from vit.errors import UserError


class Columns(NamedTuple):
    """The columns of images and labels, and the other ones that hold one number or text a row."""

    image: str
    label: str
    others: list[str]


def choose_columns(features: Mapping, data: DataParams) -> Columns:
    """The columns by the parameters, else by their types and names.

    Raises UserError if one that was asked for is missing or of another kind, or if it is unclear.
    """
    kinds = {name: type(feature).__name__ for name, feature in features.items()}
    for parameter, name in (("data.file_column", data.file_column), ("data.label_column", data.label_column)):
        if name is not None and name not in kinds:
            raise UserError(f"{parameter} '{name}': '{data.hub_name}' has no such column; it has {_listed(kinds)}")
    images = [name for name, kind in kinds.items() if kind == "Image"]
    image = _one("data.file_column", data.file_column, images, "the images", kinds, data)
    plain = [name for name, kind in kinds.items() if kind in ("Value", "ClassLabel") and name != image]
    classes = [name for name in plain if kinds[name] == "ClassLabel"]
    named = [name for name in plain if name.casefold() in LABEL_HEADERS]
    label = _one("data.label_column", data.label_column, classes or named or plain, "the labels", kinds, data)
    return Columns(image, label, [name for name in plain if name != label])


def _one(parameter: str, asked: str | None, found: list[str], what: str, kinds: dict, data: DataParams) -> str:
    if asked is not None and asked in found:
        return asked
    if asked is not None and kinds[asked] in ("Value", "ClassLabel") and what == "the labels":
        return asked
    if asked is not None:
        raise UserError(f"{parameter} '{asked}' of '{data.hub_name}' cannot hold {what}: it is {kinds[asked]}")
    if len(found) != 1:
        could = f"could be in {found}" if found else "are in no column"
        raise UserError(f"{parameter}: {what} of '{data.hub_name}' {could}; it has {_listed(kinds)}, name one")
    return found[0]


def label_names(rows, column: str, split: str) -> list[str]:
    """The class of each row by its name. Raises UserError for rows without a label, as those of a hidden test split."""
    feature, labels = rows.features[column], rows[column][:]
    missing = [index for index, label in enumerate(labels) if label is None or as_read(str(label)) in ("", "-1")]
    if missing:
        raise UserError(
            f"split '{split}': {len(missing)} of {len(labels)} rows have no label in '{column}', the first is row "
            f"{missing[0]}; leave the split out by data.hub_splits, or name another data.label_column"
        )
    names = getattr(feature, "names", None)
    return [names[label] if names else str(label) for label in labels]


def use_of_splits(counts: Mapping[str, int], asked: Mapping[str, str] | None) -> dict[str, str | None]:
    """Which of train, val and test each split of the hub is used as; None if all are pooled, and split again.

    By their names: train and test, with validation if it exists, or a single one, which is pooled. Raises UserError for
    other names, whose use `data.hub_splits` must say, and for a split that it names and the hub lacks.
    """
    there = ", ".join(f"{name} ({count:,})" for name, count in counts.items())
    if asked is not None:
        if unknown := sorted(asked.keys() - counts.keys()):
            raise UserError(f"data.hub_splits names '{unknown[0]}', which is not one of the splits {there}")
        return {name: None if use == "pool" else use for name, use in asked.items()}
    if len(counts) == 1:
        return dict.fromkeys(counts)
    named = splits_named(set(counts))
    uses = sorted(named.values())
    if len(named) == len(counts) and uses in (["test", "train"], ["test", "train", "val"]):
        return {name: named[name] for name in counts}
    raise UserError(
        f"the hub's splits are {there}, which are not train and test, with or without validation; set the "
        "use of each, for example data.hub_splits={"
        + ", ".join(f"{name}: pool" for name in counts)
        + "}, or train, val, test"
    )


def _listed(kinds: Mapping[str, str]) -> str:
    return ", ".join(f"{name} ({kind})" for name, kind in kinds.items())
