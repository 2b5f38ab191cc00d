"""Which strategy `auto` comes to, for a whole data set or for the val split that a divided one lacks, and why."""

from vit.config.schema import SplitParams
from vit.data.audit.findings import Findings
from vit.data.audit.leakage import leakage_between
from vit.data.manifest import given_part
from vit.data.stratified import random_split


def choose_strategy(findings: Findings, split: SplitParams) -> tuple[str, str]:
    """The strategy that `split.strategy` comes to, and why; auto judges what a random split would give away.

    Where val is taken from the images that the source gave to train, the reason says by which rule.
    """
    given = {given_part(row.path) for row in findings.rows}
    if split.strategy not in ("auto", "folders"):
        return split.strategy, "asked for by split.strategy"
    if split.strategy == "auto" and given not in ({"train", "test"}, {"train", "val", "test"}):
        return choose_undivided(findings, split)
    reason = (
        "asked for by split.strategy" if split.strategy == "folders" else "the source came divided into train and test"
    )
    if "train" in given and ("val" not in given or split.folds is not None):
        rule, why = choose_for_val(to_fit_on(findings), split)
        reason += f"; val is taken from train by {rule}, as {why}"
    return "folders", reason


def choose_undivided(findings: Findings, split: SplitParams) -> tuple[str, str]:
    """random, blocks or groups for images that nobody divided, the same for every fold of `split.folds`; and why."""
    if split.group_column or split.group_regex:
        return "groups", f"groups are named by {split.group_column or split.group_regex}"
    parts = random_split(findings.rows, split.model_copy(update={"folds": None}))
    leak = leakage_between(findings, parts["train"], parts["test"]) if parts["test"] else 0.0
    if leak <= split.leakage_margin:
        return "random", f"a random split gives away {leak:.1%}, no more than {split.leakage_margin:.1%}"
    if findings.frames.in_a_video().mean() > 0.5:
        return "blocks", f"a random split would give away {leak:.1%}, and names carry the frames' numbers"
    return "groups", f"a random split would give away {leak:.1%} by near duplicates"


def choose_for_val(findings: Findings, split: SplitParams) -> tuple[str, str]:
    """blocks or groups, for taking val from the images to fit on; and why.

    In place of random it is groups, those of near duplicates: no more than random gives away, and less where it can be.
    """
    rule, why = choose_undivided(findings, split)
    return ("groups" if rule == "random" else rule), why


def to_fit_on(findings: Findings) -> Findings:
    """The images that the source gave to train or val, without those of test."""
    return findings.only([index for index, row in enumerate(findings.rows) if given_part(row.path) in ("train", "val")])
