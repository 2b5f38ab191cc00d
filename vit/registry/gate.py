"""The gate's rules, from numbers alone: may a new version take the champion's place?

Better: the low end of the paired interval of the difference in `metric` lies above 0 *and* the paired test says so at
`confidence`: McNemar's exact test for accuracy, else a permutation test. The interval heeds groups of like images, the
test few disputed ones, where an interval is too narrow.
Not worse and cheaper: the low end lies at or above -`margin`, and the model costs less.
"""

from dataclasses import dataclass

from vit.config.fields import ChoosingMetric
from vit.config.schema import RegisterParams
from vit.inference.complexity import Cost

CHAMPION, CHALLENGER = "champion", "challenger"


@dataclass(frozen=True)
class Figures:
    """A candidate on its whole val part, accuracy and calibration error in [0, 1], and what its split gives away."""

    val_accuracy: float
    val_ece: float
    leakage: float


@dataclass(frozen=True)
class Comparison:
    """Candidate and champion on the same `images`, on which neither was trained; `difference` is how much better the
    candidate is by `metric`, whose values are `score` and `champion_score` where it is not accuracy.

    `low` and `high` are the ends of its interval at `confidence`, `p` is that of the paired test.
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


@dataclass(frozen=True)
class Verdict:
    """Whether the candidate becomes champion; why, in a few words and then in numbers."""

    promoted: bool
    outcome: str
    numbers: str = ""

    @property
    def reason(self) -> str:
        return f"{self.outcome}: {self.numbers}" if self.numbers else self.outcome

    def __str__(self) -> str:
        return f"{'promoted' if self.promoted else 'refused'}, {self.reason}"


def missed_floors(figures: Figures, rules: RegisterParams) -> list[str]:
    """A phrase for each floor that does not hold; a figure equal to its floor holds."""
    missed = []
    if rules.min_accuracy is not None and not figures.val_accuracy >= rules.min_accuracy:
        missed.append(f"val accuracy {figures.val_accuracy:.4f} is below register.min_accuracy {rules.min_accuracy}")
    if rules.max_ece is not None and not figures.val_ece <= rules.max_ece:
        missed.append(f"calibration error {figures.val_ece:.4f} on val is above register.max_ece {rules.max_ece}")
    if rules.max_leakage is not None and not figures.leakage <= rules.max_leakage:
        missed.append(f"its split gives away {figures.leakage:.4f}, above register.max_leakage {rules.max_leakage}")
    return missed


def decide(figures: Figures, comparison: Comparison | None, rules: RegisterParams) -> Verdict:
    """The verdict on a candidate; `comparison` is None where there is no champion, and the floors alone decide."""
    missed = missed_floors(figures, rules)
    if missed:
        return Verdict(False, "a floor does not hold", "; ".join(missed))
    if comparison is None:
        return Verdict(True, "first champion", f"val accuracy {figures.val_accuracy:.4f}, and every floor holds")
    numbers = f"{_scores(comparison, rules)}; {_costs(comparison)}"
    if comparison.low > 0 and comparison.p < 1 - rules.confidence:
        return Verdict(True, "better", numbers)
    not_worse = comparison.low >= -rules.margin
    cheaper = comparison.cost.less_than(comparison.champion_cost)
    if not_worse and cheaper:
        return Verdict(True, "not worse and cheaper", numbers)
    if not_worse:
        return Verdict(False, "not worse, but not cheaper either", numbers)
    return Verdict(False, "cheaper, but perhaps worse" if cheaper else "not shown to be better", numbers)


def too_few(images: int, rules: RegisterParams) -> Verdict | None:
    """The refusal where there are only `images` to compare on; None if they suffice."""
    if images >= rules.min_images:
        return None
    found = f"on {images} val images neither was trained, register.min_images is {rules.min_images}"
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
    return (
        f"{scores} on {comparison.images} val images, "
        f"{change} {comparison.difference:+.4f} ({comparison.low:+.4f} to {comparison.high:+.4f} at "
        f"{rules.confidence:.4g}, p {comparison.p:.4f}, margin {rules.margin})"
    )


def _costs(comparison: Comparison) -> str:
    ours, theirs = comparison.cost, comparison.champion_cost
    return (
        f"{ours.parameters:,} parameters against {theirs.parameters:,}, "
        f"{ours.multiply_adds:,} multiply-adds against {theirs.multiply_adds:,}"
    )
