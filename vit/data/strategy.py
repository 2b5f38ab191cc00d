"""Which strategy `auto` chooses and why, for a whole data set or for the val split that a source lacks."""

from vit.config.schema import SplitParams
from vit.data.audit.findings import Findings
from vit.data.audit.leakage import leakage_between
from vit.data.manifest import given_part
from vit.data.stratified import random_split


def choose_strategy(findings: Findings, split: SplitParams) -> tuple[str, str]:
    """The strategy that `split.strategy` resolves to, and why; auto measures a random split's leakage.

    If val is taken from the source's train images, the reason says by which rule.
    """
    given = {given_part(row.path) for row in findings.rows}
    if split.strategy not in ("auto", "folders"):
        return split.strategy, "set by split.strategy"
    if split.strategy == "auto" and given not in ({"train", "test"}, {"train", "val", "test"}):
        return choose_undivided(findings, split)
    reason = (
        "set by split.strategy" if split.strategy == "folders" else "the source is already split into train and test"
    )
    if "train" in given and ("val" not in given or split.folds is not None):
        rule, why = choose_for_val(to_fit_on(findings), split)
        reason += f"; val is taken from train by {rule}, as {why}"
    return "folders", reason


def choose_undivided(findings: Findings, split: SplitParams) -> tuple[str, str]:
    """random, blocks or groups for a source without splits, the same for every fold of `split.folds`; and why."""
    if split.group_column or split.group_regex:
        return "groups", f"groups are given by {split.group_column or split.group_regex}"
    parts = random_split(findings.rows, split.model_copy(update={"folds": None}))
    leak = leakage_between(findings, parts["train"], parts["test"]) if parts["test"] else 0.0
    if leak <= split.leakage_margin:
        return "random", f"leakage of a random split is {leak:.1%}, within the margin of {split.leakage_margin:.1%}"
    if findings.frames.in_a_video().mean() > 0.5:
        return "blocks", f"leakage of a random split would be {leak:.1%}, and file names carry frame numbers"
    return "groups", f"leakage of a random split would be {leak:.1%}, by near duplicates"


def choose_for_val(findings: Findings, split: SplitParams) -> tuple[str, str]:
    """blocks or groups, for taking val from the train images; and why.

    Groups of near duplicates replace random: they never leak more, and often less.
    """
    rule, why = choose_undivided(findings, split)
    return ("groups" if rule == "random" else rule), why


def to_fit_on(findings: Findings) -> Findings:
    """The images in the source's train or val, without those in test."""
    return findings.only([index for index, row in enumerate(findings.rows) if given_part(row.path) in ("train", "val")])
