"""Comparing two runs by their predictions for the same test images, paired image by image."""

from dataclasses import dataclass

import numpy as np

from vit.errors import UserError
from vit.evaluation.paired import mcnemar, paired_bootstrap

Table = list[dict[str, str]]


@dataclass(frozen=True)
class RunComparison:
    """Two runs, A and B, on the same test images.

    `both_right`, `only_a_right`, `only_b_right` and `neither_right` count images. `difference` is the accuracy of B
    minus that of A; `low` to `high` is its interval at `confidence_level`, bootstrapped by group.
    """

    images: int
    groups: int
    accuracy_a: float
    accuracy_b: float
    both_right: int
    only_a_right: int
    only_b_right: int
    neither_right: int
    difference: float
    low: float
    high: float
    confidence_level: float
    mcnemar_p: float

    @property
    def better(self) -> str | None:
        """A or B; None if the interval contains 0."""
        return "B" if self.low > 0 else "A" if self.high < 0 else None

    def as_text(self) -> str:
        """The comparison in sentences."""
        better = f"{self.better} is better" if self.better else "no significant difference"
        lines = [
            f"accuracy on the same {self.images} test images: A {self.accuracy_a:.4f}, B {self.accuracy_b:.4f}",
            f"correct: both {self.both_right}, only A {self.only_a_right}, only B {self.only_b_right}, "
            f"neither {self.neither_right}",
            f"B minus A: {self.difference:+.4f}, {self.confidence_level:.0%} interval {self.low:+.4f} to "
            f"{self.high:+.4f} (paired bootstrap of {self.groups} groups): {better}",
            f"McNemar's exact test: p = {self.mcnemar_p:.3g}",
        ]
        if self.groups < self.images:
            lines.append("McNemar's test ignores that images of a group are similar; rely on the interval")
        return "\n".join(lines)


def comparison(table_a: Table, table_b: Table, confidence_level: float, seed: int) -> RunComparison:
    """The comparison of two tables of predictions. Raises UserError if their images or labels differ."""
    rows_a, rows_b = ({row["path"]: row for row in table} for table in (table_a, table_b))
    _refuse_other_images(rows_a, rows_b)
    paths = sorted(rows_a)
    correct_a, correct_b = (
        np.array([rows[path]["label"] == rows[path]["prediction"] for path in paths]) for rows in (rows_a, rows_b)
    )
    groups = _groups(paths, rows_a, rows_b)
    difference, low, high = paired_bootstrap(correct_a, correct_b, groups, confidence_level, seed)
    return RunComparison(
        images=len(paths),
        groups=len(paths) if groups is None else len(set(groups)),
        accuracy_a=float(correct_a.mean()),
        accuracy_b=float(correct_b.mean()),
        both_right=int((correct_a & correct_b).sum()),
        only_a_right=int((correct_a & ~correct_b).sum()),
        only_b_right=int((correct_b & ~correct_a).sum()),
        neither_right=int((~correct_a & ~correct_b).sum()),
        difference=difference,
        low=low,
        high=high,
        confidence_level=confidence_level,
        mcnemar_p=mcnemar(correct_a, correct_b),
    )


def _refuse_other_images(rows_a: dict[str, dict], rows_b: dict[str, dict]) -> None:
    if rows_a.keys() != rows_b.keys():
        common = len(rows_a.keys() & rows_b.keys())
        raise UserError(
            f"the runs were tested on different images: A on {len(rows_a)}, B on {len(rows_b)}, with {common} in "
            "common; train both with the same data and split"
        )
    renamed = [path for path in rows_a if rows_a[path]["label"] != rows_b[path]["label"]]
    if renamed:
        first = renamed[0]
        raise UserError(
            f"{len(renamed)} test images have different labels in the two runs, e.g. '{first}' is "
            f"'{rows_a[first]['label']}' and '{rows_b[first]['label']}'; train both on the same data"
        )


def _groups(paths: list[str], *both: dict[str, dict]) -> np.ndarray | None:
    """The images' groups; of two groupings the coarser one, which is more cautious. None for runs without groups."""
    known = [np.array([rows[path]["group"] for path in paths]) for rows in both if "group" in rows[paths[0]]]
    return min(known, key=lambda groups: len(set(groups)), default=None)
