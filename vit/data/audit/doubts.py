"""Reasons to doubt a split's scores, one sentence each."""

from math import sqrt

from vit.data.audit.findings import Findings
from vit.data.audit.leakage import HELD_OUT, Leakage
from vit.data.manifest import Row

STANDARD_ERRORS = 3.0  # by which val and test must differ, so that chance alone is no warning
CONSEQUENCE = {
    "test": "its scores are an upper bound",
    "val": "epoch, temperature and champion are chosen on images that train already contains",
}


def find_warnings(parts: dict[str, list[Row]], leakage: dict[str, Leakage], margin: float) -> list[str]:
    """One sentence for each reason to doubt this split's scores, those about leakage first."""
    warnings = [_leak(part, leakage[part]) for part in reversed(HELD_OUT) if leakage[part].leakage > margin]
    warnings += find_difference(leakage["val"], leakage["test"], margin)
    labels = {row.label for rows in parts.values() for row in rows}
    for part in HELD_OUT:
        if absent := sorted(labels - {row.label for row in parts[part]}):
            warnings.append(f"no image of class {', '.join(absent[:5])} is in {part}, which cannot score them")
    return warnings


def _leak(part: str, leakage: Leakage) -> str:
    number = leakage.nearest_frame_accuracy
    by_number = f", the label of the nearest frame number is correct for {number:.1%}" if number is not None else ""
    leaking = "test leaks" if part == "test" else "val leaks"
    return (
        f"{leaking}: {leakage.near_duplicate_share:.1%} of the {part} images have a near duplicate in train"
        f"{by_number}, the most frequent class for {leakage.majority_accuracy:.1%}; {CONSEQUENCE[part]}. "
        "Try split.strategy=auto, blocks or groups"
    )


def find_difference(val: Leakage, test: Leakage, margin: float) -> list[str]:
    """A sentence if val is notably nearer to train, or farther from it, than test: by leakage or nearest neighbour.

    Notably means by more than `margin` and by more than three standard errors, counting each group as one image.
    """
    differences = [
        (
            val.leakage,
            test.leakage,
            _standard_error(val.groups, test.groups),
            f"leakage is {val.leakage:.1%} of val and {test.leakage:.1%} of test",
        ),
        (
            val.nearest_neighbour_accuracy - val.majority_accuracy,
            test.nearest_neighbour_accuracy - test.majority_accuracy,
            _standard_error(*(min(one.groups, one.sampled or one.groups) for one in (val, test))),
            f"the nearest thumbnail in train is correct for {val.nearest_neighbour_accuracy:.1%} of val (most frequent "
            f"class {val.majority_accuracy:.1%}) and {test.nearest_neighbour_accuracy:.1%} of test "
            f"({test.majority_accuracy:.1%})",
        ),
    ]
    for of_val, of_test, error, told in differences:
        if abs(of_val - of_test) > max(margin, STANDARD_ERRORS * error):
            nearer = "nearer to train than test is" if of_val > of_test else "farther from train than test is"
            return [f"val is {nearer}: {told}. Choices made on val, such as the epoch, may not hold on test"]
    return []


def _standard_error(val: int, test: int) -> float:
    """Upper bound for the difference of two shares of so many draws, each with the variance of a share of 0.5.

    A group, or an image drawn for the nearest neighbours, is one draw.
    """
    return sqrt(0.25 / val + 0.25 / test)


def find_lost_classes(findings: Findings) -> list[str]:
    """A sentence about each class without a usable image."""
    left_out = [row for row, _ in findings.broken] + findings.contradictory
    lost = sorted({row.label for row in left_out} - {row.label for row in findings.rows})
    return [f"class '{label}' is gone: none of its images can be used" for label in lost]
