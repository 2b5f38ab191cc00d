"""Which image is for fitting, which for choosing, which for the final figure."""

import random
from pathlib import Path
from typing import NamedTuple

from vit.errors import UserError
from vit.files import read_table
from vit.params import SplitParams

PARTS = ("train", "val", "test")


class Row(NamedTuple):
    """One image: its path relative to data/raw, its class, and the group that must not be torn apart."""

    path: str
    label: str
    group: str


def list_images(raw: Path) -> list[Row]:
    """Every file below `raw`, sorted; its class is the first directory, its group itself."""
    paths = sorted(path.relative_to(raw).as_posix() for path in raw.rglob("*") if path.is_file())
    return [Row(path, path.split("/")[0], path) for path in paths]


def assign(rows: list[Row], split: SplitParams) -> dict[str, list[Row]]:
    """Rows per part, stratified: each class is shuffled by the seed, then cut by the fractions.

    Raises UserError if a class has too few images for one in each part.
    """
    parts: dict[str, list[Row]] = {part: [] for part in PARTS}
    for label in sorted({row.label for row in rows}):
        members = [row for row in rows if row.label == label]
        random.Random(f"{split.seed} {label}").shuffle(members)
        members = members[: split.subset_per_class]
        val, test = (max(1, round(len(members) * share)) for share in (split.val_fraction, split.test_fraction))
        if len(members) <= val + test:
            raise UserError(
                f"class '{label}' has {len(members)} image(s): too few for val_fraction {split.val_fraction} and "
                f"test_fraction {split.test_fraction} with one left to train on; add images or remove the class"
            )
        parts["test"] += members[:test]
        parts["val"] += members[test : test + val]
        parts["train"] += members[test + val :]
    return {part: sorted(members) for part, members in parts.items()}


def read_rows(path: Path) -> list[Row]:
    return [Row(**row) for row in read_table(path)]
