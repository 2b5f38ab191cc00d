"""Assign images to train, val and test: one function per strategy."""

from pathlib import Path

import numpy as np

from vit.config.schema import SplitParams
from vit.data.audit.findings import Findings
from vit.data.dealing import Groups
from vit.data.gaps import without_gaps
from vit.data.groups import by_blocks, by_column, by_near_duplicates, by_regex
from vit.data.manifest import PARTS, Row, given_part
from vit.data.strategy import choose_for_val, to_fit_on
from vit.data.stratified import random_split, shuffled_classes
from vit.errors import UserError

Parts = dict[str, list[Row]]


def with_fewer_to_train_on(parts: Parts, split: SplitParams) -> Parts:
    """At most `split.subset_per_class` train images of each class, drawn by the seed; all of them if it is null.

    Val and test stay whole, so that models of small and large subsets are scored on the same images. Every larger
    subset contains the smaller ones.
    """
    if split.subset_per_class is None:
        return parts
    classes = shuffled_classes(parts["train"], split.seed)
    return parts | {"train": sorted(row for members in classes for row in members[: split.subset_per_class])}


def assign(strategy: str, findings: Findings, split: SplitParams, tables: Path) -> Parts:
    """Rows per split by `strategy` (not auto); rows of one `group` stay together.

    With `split.folds`, test is fold number `split.fold`; with the strategy folders, whose test split is given, val is
    that fold. `tables` is a folder of CSVs. Raises UserError if the data cannot be split this way.
    """
    rows = findings.rows
    if strategy == "random":
        parts = random_split(rows, split)
    elif strategy == "folders":
        parts = _folders(findings, split, tables)
    else:
        parts = _whole_groups(_grouped(strategy, findings, split, tables), split)
        parts = without_gaps(parts, rows, findings.frames, split.gap) if strategy == "blocks" else parts
    _refuse_unusable(rows, parts, strategy)
    return {part: sorted(parts[part]) for part in PARTS}


def _grouped(strategy: str, findings: Findings, split: SplitParams, tables: Path) -> list[Row]:
    """The rows with the groups that `strategy`, blocks or groups, keeps together."""
    rows = findings.rows
    if strategy == "blocks":
        return by_blocks(rows, findings.frames, split.block_size)
    if split.group_column is not None:
        return by_column(rows, tables, split.group_column)
    if split.group_regex is not None:
        return by_regex(rows, split.group_regex)
    return by_near_duplicates(rows, findings.groups)


def _folders(findings: Findings, split: SplitParams, tables: Path) -> Parts:
    """The source's own splits; if it has no val, val is taken from train by the rule that auto would use."""
    parts: Parts = {part: [] for part in PARTS}
    for row in by_near_duplicates(findings.rows, findings.groups):
        part = given_part(row.path)
        if part is None:
            raise UserError(
                f"split.strategy is folders, but the source has '{row.path}' in none of train, val and test; "
                "choose another strategy"
            )
        parts[part].append(row)
    if split.folds is None and (parts["val"] or not parts["train"]):
        return parts
    return parts | _val_taken_from(to_fit_on(findings), split, tables, split.val_fraction * len(findings.rows))


def _val_taken_from(fitting: Findings, split: SplitParams, tables: Path, wanted: float) -> Parts:
    """Train and val of the images to fit on: about `wanted` of them for val, or the fold `split.fold`."""
    rule, _ = choose_for_val(fitting, split)
    rows = _grouped(rule, fitting, split, tables)
    groups, generator = Groups(rows), _generator(split)
    try:
        if split.folds is None:
            val = groups.closest(groups.all, wanted, generator)
        else:
            val = groups.folds(split.folds, generator)[split.fold]
    except UserError as error:
        size = f" (split.block_size is {split.block_size})" if rule == "blocks" else ""
        raise UserError(f"val, which the source lacks, cannot be taken from train by {rule}{size}: {error}") from error
    parts = {"train": groups.rows(groups.without(val)), "val": groups.rows(val)}
    return without_gaps(parts, rows, fitting.frames, split.gap) if rule == "blocks" else parts


def _whole_groups(rows: list[Row], split: SplitParams) -> Parts:
    """Groups stay whole; sizes match the fractions to within one group, class shares as closely as many draws allow."""
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


def _refuse_unusable(rows: list[Row], parts: Parts, strategy: str) -> None:
    for part in PARTS:
        if not parts[part]:
            raise UserError(
                f"split.strategy {strategy} leaves the {part} split empty; "
                "change split.val_fraction, test_fraction, block_size or gap"
            )
    unseen = sorted({row.label for row in rows} - {row.label for row in parts["train"]})
    if unseen:
        raise UserError(
            f"split.strategy {strategy} leaves class '{unseen[0]}' without an image to train on; "
            "try another split.seed, or smaller groups or blocks"
        )
