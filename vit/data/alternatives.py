"""What other strategies would do to the same images: the choice of `auto`, and the leakage of a random split."""

from vit.config.schema import SplitParams
from vit.data.audit.findings import Findings
from vit.data.audit.leakage import HELD_OUT, leakage_between
from vit.data.strategy import choose_strategy
from vit.data.stratified import random_split


def alternatives(findings: Findings, split: SplitParams) -> dict:
    """For the audit: `auto` with the strategy that it would choose and the reason, `random_leakage` and
    `random_val_leakage`, shares in [0, 1], None where a random split has no such images."""
    strategy, reason = choose_strategy(findings, split.model_copy(update={"strategy": "auto"}))
    parts = random_split(findings.rows, split.model_copy(update={"folds": None}))
    leaks = {part: leakage_between(findings, parts["train"], parts[part]) if parts[part] else None for part in HELD_OUT}
    return {
        "auto": {"strategy": strategy, "reason": reason},
        "random_leakage": leaks["test"],
        "random_val_leakage": leaks["val"],
    }
