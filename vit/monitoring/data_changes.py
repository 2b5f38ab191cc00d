"""What changed between the images of two splits, by their pixels: a renamed file is the same image."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

Row = Mapping[str, str]  # of images.csv: path, part, label, pixels_sha256


@dataclass(frozen=True)
class DataChanges:
    """Rows that are new, gone, have another label, or lie in another part; and images per class before and now."""

    added: list[Row]
    removed: list[Row]
    relabelled: list[Row]
    moved: list[Row]
    before: Counter[str]
    now: Counter[str]


def data_changes(before: Iterable[Row], now: Iterable[Row]) -> DataChanges:
    """Changes from one table of images to another; images whose pixels occur twice in a table count once."""
    old, new = ({row["pixels_sha256"]: row for row in rows} for rows in (before, now))
    both = [(old[key], new[key]) for key in new if key in old]
    return DataChanges(
        added=[row for key, row in new.items() if key not in old],
        removed=[row for key, row in old.items() if key not in new],
        relabelled=[row for was, row in both if was["label"] != row["label"]],
        moved=[row for was, row in both if was["part"] != row["part"]],
        before=Counter(row["label"] for row in old.values()),
        now=Counter(row["label"] for row in new.values()),
    )
