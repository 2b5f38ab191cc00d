"""Which image is for fitting, which for choosing, which for the final figure: one function per strategy."""

import random
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vit.config.schema import SplitParams
from vit.data.audit.duplicates import Frames
from vit.data.audit.findings import Findings
from vit.data.audit.leakage import measure
from vit.data.dealing import Groups
from vit.data.groups import by_blocks, by_column, by_near_duplicates, by_regex
from vit.data.manifest import PARTS, Row, given_part
from vit.errors import UserError

Parts = dict[str, list[Row]]


def with_fewer_to_train_on(parts: Parts, split: SplitParams) -> Parts:
    """At most `split.subset_per_class` train images of each class, drawn by the seed; all of them if that is null.

    Val and test stay whole, so that models of small and large sets are judged on the same images; a smaller set is part
    of every larger one.
    """
    if split.subset_per_class is None:
        return parts
    classes = _shuffled_classes(parts["train"], split.seed)
    return parts | {"train": sorted(row for members in classes for row in members[: split.subset_per_class])}


def choose_strategy(findings: Findings, split: SplitParams, tables: Path) -> tuple[str, str]:
    """The strategy that `split.strategy` comes to, and why; auto judges what a random split would give away."""
    if split.strategy != "auto":
        return split.strategy, "asked for by split.strategy"
    given = {given_part(row.path) for row in findings.rows}
    if given in ({"train", "test"}, {"train", "val", "test"}):
        return "folders", "the source came divided into train and test"
    if split.group_column or split.group_regex:
        return "groups", f"groups are named by {split.group_column or split.group_regex}"
    leak = measure(findings, assign("random", findings, split, tables))
    if leak.leakage <= split.leakage_margin:
        return "random", f"a random split gives away {leak.leakage:.1%}, no more than {split.leakage_margin:.1%}"
    if findings.frames.in_a_video().mean() > 0.5:
        return "blocks", f"a random split would give away {leak.leakage:.1%}, and names carry the frames' numbers"
    return "groups", f"a random split would give away {leak.leakage:.1%} by near duplicates"


def assign(strategy: str, findings: Findings, split: SplitParams, tables: Path) -> Parts:
    """Rows per part by `strategy` (not auto), with what must stay together in their column `group`.

    With `split.folds` the test part is fold number `split.fold`; for the strategy folders, whose test part is given,
    that fold is the val part. `tables` is a folder of CSVs. Raises UserError if the data cannot be split so.
    """
    rows = findings.rows
    if strategy == "random":
        parts = _random(rows, split)
    elif strategy == "folders":
        parts = _folders(by_near_duplicates(rows, findings.groups), split)
    elif strategy == "blocks":
        parts = _whole_groups(by_blocks(rows, findings.frames, split.block_size), split)
        parts = _without_gaps(parts, rows, findings.frames, split.gap)
    elif split.group_column is not None:
        parts = _whole_groups(by_column(rows, tables, split.group_column), split)
    elif split.group_regex is not None:
        parts = _whole_groups(by_regex(rows, split.group_regex), split)
    else:
        parts = _whole_groups(by_near_duplicates(rows, findings.groups), split)
    _refuse_unusable(rows, parts, strategy)
    return {part: sorted(parts[part]) for part in PARTS}


def _shuffled_classes(rows: list[Row], seed: int) -> Iterator[list[Row]]:
    classes: dict[str, list[Row]] = defaultdict(list)
    for row in sorted(rows):
        classes[row.label].append(row)
    for label, members in sorted(classes.items()):
        random.Random(f"{seed} {label}").shuffle(members)
        yield members


def _random(rows: list[Row], split: SplitParams) -> Parts:
    """Stratified, image by image: each class is shuffled by the seed, then cut within one image of the fractions.

    One image of a class is always left to train on, so a lone image is in no test part.
    """
    parts: Parts = {part: [] for part in PARTS}
    dealt = 0  # to the folds in turn through all classes, or the last folds would get none of many small classes
    for members in _shuffled_classes(rows, split.seed):
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


def _folders(rows: list[Row], split: SplitParams) -> Parts:
    """As the source had divided them; a val part that it lacks is taken from train, near duplicates together."""
    parts: Parts = {part: [] for part in PARTS}
    for row in rows:
        part = given_part(row.path)
        if part is None:
            raise UserError(
                f"split.strategy is folders, but '{row.path}' came in neither train, val nor test; choose another one"
            )
        parts[part].append(row)
    fitting = Groups(parts["train"] + parts["val"])
    if split.folds is not None:
        val = fitting.folds(split.folds, _generator(split))[split.fold]
        parts |= {"val": fitting.rows(val), "train": fitting.rows(fitting.without(val))}
    elif parts["train"] and not parts["val"]:
        val = fitting.closest(fitting.all, split.val_fraction * len(rows), _generator(split))
        parts |= {"val": fitting.rows(val), "train": fitting.rows(fitting.without(val))}
    return parts


def _whole_groups(rows: list[Row], split: SplitParams) -> Parts:
    """Groups stay whole; fractions are met within one group, class shares as closely as many draws find."""
    groups, generator = Groups(rows), _generator(split)
    if split.folds is None:
        test = groups.closest(groups.all, split.test_fraction * len(rows), generator, leave=1)
    else:
        test = groups.folds(split.folds, generator)[split.fold]
    rest = groups.without(test)
    val = groups.closest(rest, split.val_fraction * len(rows), generator)
    return {"train": groups.rows(np.setdiff1d(rest, val)), "val": groups.rows(val), "test": groups.rows(test)}


def _generator(split: SplitParams) -> np.random.Generator:
    return np.random.default_rng(split.seed)


def _without_gaps(parts: Parts, rows: list[Row], frames: Frames, gap: int) -> Parts:
    """Leave out frames of train, then of val, that are within `gap` numbers of a frame of another part."""
    numbered = zip(rows, frames.series, frames.numbers.tolist(), strict=True)
    place = {row.path: (series, number) for row, series, number in numbered if series}
    taken: dict[str, list[int]] = defaultdict(list)
    kept: Parts = {}
    for part in reversed(PARTS):
        kept[part] = [row for row in parts[part] if not _is_near(place.get(row.path), taken, gap)]
        for series, number in (place[row.path] for row in kept[part] if row.path in place):
            taken[series].append(number)
        for numbers in taken.values():
            numbers.sort()
    return kept


def _is_near(place: tuple[str, int] | None, taken: dict[str, list[int]], gap: int) -> bool:
    """Whether a number of the same series, ascending in `taken`, is at most `gap` away."""
    if place is None:
        return False
    numbers = taken.get(place[0], [])
    above = bisect_left(numbers, place[1])
    return any(abs(number - place[1]) <= gap for number in numbers[max(0, above - 1) : above + 1])


def _refuse_unusable(rows: list[Row], parts: Parts, strategy: str) -> None:
    for part in PARTS:
        if not parts[part]:
            raise UserError(
                f"split.strategy {strategy} leaves the {part} part empty; "
                "change split.val_fraction, test_fraction, block_size or gap"
            )
    unseen = sorted({row.label for row in rows} - {row.label for row in parts["train"]})
    if unseen:
        raise UserError(
            f"split.strategy {strategy} leaves class '{unseen[0]}' without an image to train on; "
            "try another split.seed, or smaller groups or blocks"
        )
