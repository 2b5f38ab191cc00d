"""The gate's rules, as a function of numbers: may a new version replace the champion?

Better: the low end of the paired interval of the difference in `metric` lies above 0 *and* the paired test rejects
equality at `confidence`: McNemar's exact test for accuracy, a permutation test for other metrics. The interval accounts
for groups of similar images; the test covers few disagreements, where an interval is too narrow. Not worse and cheaper:
the low end is at least -`margin`, and the model costs less. Each further look at the same val images asks for more
confidence, see `at_look`.
"""

from dataclasses import dataclass

from vit.config.fields import ChoosingMetric
from vit.config.schema import RegisterParams
from vit.inference.complexity import Cost

CHAMPION, CHALLENGER = "champion", "challenger"


@dataclass(frozen=True)
class Figures:
    """A candidate on its whole val split, accuracy and calibration error in [0, 1], and the leakage of test and val.

    `val_leakage` is None where the split was made by a release that did not measure it.
    """

    val_accuracy: float
    val_ece: float
    leakage: float
    val_leakage: float | None = None


@dataclass(frozen=True)
class Comparison:
    """Candidate and champion on the same `images`, which neither was trained on; `difference` is how much better the
    candidate is by `metric`. `score` and `champion_score` are its values where it is not accuracy.

    `low` and `high` are the ends of its interval at `confidence`; `p` is the p-value of the paired test. It is the
    `look`-th comparison on these images.
    """

    images: int
    accuracy: float
    champion_accuracy: float
    difference: float
    low: float
    high: float
    p: float
    cost: Cost
    champion_cost: Cost
    metric: ChoosingMetric = "accuracy"
    score: float | None = None
    champion_score: float | None = None
    look: int = 1


@dataclass(frozen=True)
class Verdict:
    """Whether the candidate becomes champion, and the reason in words and in numbers."""

    promoted: bool
    outcome: str
    numbers: str = ""

    @property
    def reason(self) -> str:
        return f"{self.outcome}: {self.numbers}" if self.numbers else self.outcome

    def __str__(self) -> str:
        return f"{'promoted' if self.promoted else 'refused'}, {self.reason}"


def at_look(rules: RegisterParams, look: int) -> RegisterParams:
    """The rules of the `look`-th comparison on the same val images, from 1.

    A candidate no better than the champion is promoted with probability (1 - confidence) / 2 at most: only one of the
    two sides promotes. With 1 - confidence as the limit for all looks together, of which look k has the share
    1 / (k (k + 1)), the first look is at `confidence` itself.
    """
    return rules.model_copy(update={"confidence": 1 - 2 * (1 - rules.confidence) / (look * (look + 1))})


def missed_floors(figures: Figures, rules: RegisterParams) -> list[str]:
    """A phrase for each floor that is not met; a figure equal to its floor meets it."""
    missed = []
    if rules.min_accuracy is not None and not figures.val_accuracy >= rules.min_accuracy:
        missed.append(f"val accuracy {figures.val_accuracy:.4f} is below register.min_accuracy {rules.min_accuracy}")
    if rules.max_ece is not None and not figures.val_ece <= rules.max_ece:
        missed.append(f"calibration error {figures.val_ece:.4f} on val is above register.max_ece {rules.max_ece}")
    for split, leakage in (("test", figures.leakage), ("val", figures.val_leakage)):
        if rules.max_leakage is not None and leakage is not None and not leakage <= rules.max_leakage:
            missed.append(f"leakage {leakage:.4f} of {split} is above register.max_leakage {rules.max_leakage}")
    return missed


def decide(figures: Figures, comparison: Comparison | None, rules: RegisterParams) -> Verdict:
    """The verdict on a candidate; without a champion `comparison` is None, and only the floors decide."""
    missed = missed_floors(figures, rules)
    if missed:
        return Verdict(False, "a floor is not met", "; ".join(missed))
    if comparison is None:
        return Verdict(True, "first champion", f"val accuracy {figures.val_accuracy:.4f}, all floors met")
    numbers = f"{_scores(comparison, rules)}; {_costs(comparison)}"
    if comparison.low > 0 and comparison.p < 1 - rules.confidence:
        return Verdict(True, "better", numbers)
    not_worse = comparison.low >= -rules.margin
    cheaper = comparison.cost.less_than(comparison.champion_cost)
    if not_worse and cheaper:
        return Verdict(True, "not worse and cheaper", numbers)
    if not_worse:
        return Verdict(False, "not worse, but not cheaper either", numbers)
    return Verdict(False, "cheaper, but possibly worse" if cheaper else "not shown to be better", numbers)


def too_few(images: int, rules: RegisterParams) -> Verdict | None:
    """The refusal if `images` are too few for a comparison, else None."""
    if images >= rules.min_images:
        return None
    found = f"{images} val images that neither was trained on, register.min_images is {rules.min_images}"
    return Verdict(False, "too few images", found)


def _scores(comparison: Comparison, rules: RegisterParams) -> str:
    accuracies = f"{comparison.accuracy:.4f} against {comparison.champion_accuracy:.4f}"
    scores = (
        accuracies
        if comparison.metric == "accuracy"
        else f"{comparison.metric.replace('_', ' ')} {comparison.score:.4f} against {comparison.champion_score:.4f} "
        f"(accuracy {accuracies})"
    )
    change = "lower by" if comparison.metric == "log_loss" else "difference"
    p = f"{comparison.p:.4f}" if comparison.p >= 1e-4 else f"{comparison.p:.1e}"
    look = f", look {comparison.look} at these images" if comparison.look > 1 else ""
    return (
        f"{scores} on {comparison.images} val images, "
        f"{change} {comparison.difference:+.4f} ({comparison.low:+.4f} to {comparison.high:+.4f} at "
        f"{rules.confidence:.7g}, p {p}, margin {rules.margin}{look})"
    )


def _costs(comparison: Comparison) -> str:
    ours, theirs = comparison.cost, comparison.champion_cost
    return (
        f"{ours.parameters:,} parameters against {theirs.parameters:,}, "
        f"{ours.multiply_adds:,} multiply-adds against {theirs.multiply_adds:,}"
    )
