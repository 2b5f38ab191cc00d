"""The random split: each class shuffled by the seed and cut, image by image."""

import random
from collections import defaultdict
from collections.abc import Iterator

from vit.config.schema import SplitParams
from vit.data.manifest import PARTS, Row


def random_split(rows: list[Row], split: SplitParams) -> dict[str, list[Row]]:
    """Stratified, image by image: each class is shuffled by the seed, then cut within one image of the fractions.

    One image of each class always stays in train, so a class's only image is never in test.
    """
    parts: dict[str, list[Row]] = {part: [] for part in PARTS}
    dealt = 0  # counts on through all classes, or the last folds would get no image of many small classes
    for members in shuffled_classes(rows, split.seed):
        count = len(members)
        if count == 1:
            parts["train"] += members
            continue
        if split.folds is None:
            tests = min(max(1, round(count * split.test_fraction)), count - 1)
            test, rest = members[:tests], members[tests:]
        else:
            in_test = [(dealt + index) % split.folds == split.fold for index in range(count)]
            test = [row for row, chosen in zip(members, in_test, strict=True) if chosen]
            rest = [row for row, chosen in zip(members, in_test, strict=True) if not chosen]
            dealt += count
        val = min(max(1, round(count * split.val_fraction)), len(rest) - 1) if count > 2 else 0
        parts["test"] += test
        parts["val"] += rest[:val]
        parts["train"] += rest[val:]
    return parts


def shuffled_classes(rows: list[Row], seed: int) -> Iterator[list[Row]]:
    classes: dict[str, list[Row]] = defaultdict(list)
    for row in sorted(rows):
        classes[row.label].append(row)
    for label, members in sorted(classes.items()):
        random.Random(f"{seed} {label}").shuffle(members)
        yield members
