"""What each class loses before training: unreadable files, copies, pixels under two labels."""

from collections import Counter, defaultdict

import numpy as np

from vit.data.audit.findings import SHOWN, Findings
from vit.data.audit.scan import FLAT
from vit.errors import UserError

TOLD = 0.1  # share of a class: a larger loss is reported
UNREADABLE, COPIES, CONTRADICTORY = "unreadable", "copies of another image", "identical to an image of another class"


def find_losses(findings: Findings, allowed: float) -> list[str]:
    """A sentence about each class that loses more than TOLD of its images.

    Raises UserError with those sentences if a class also loses more than the share `allowed`.
    """
    kept = Counter(row.label for row in findings.rows)
    lost: dict[str, Counter[str]] = defaultdict(Counter)
    for reason, rows in (
        (UNREADABLE, [row for row, _ in findings.broken]),
        (COPIES, [copy for copy, _ in findings.copies]),
        (CONTRADICTORY, findings.contradictory),
    ):
        for row in rows:
            lost[row.label][reason] += 1
    told, refused = [], []
    for label, reasons in sorted(lost.items()):
        images = kept[label] + reasons.total()
        share = reasons.total() / images
        if share > TOLD:
            listed = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
            told.append(f"class '{label}' keeps {kept[label]} of {images} images: {listed}")
            refused += [told[-1]] if share > allowed else []
    if refused:
        more = f"; and {len(refused) - SHOWN} more classes" if len(refused) > SHOWN else ""
        raise UserError(
            f"{'; '.join(refused[:SHOWN])}{more}. That is more than a tenth of a class and more than "
            f"split.max_broken_fraction {allowed}. {advice(findings)}Repair the source, remove the class, or raise "
            "split.max_broken_fraction"
        )
    return told


def find_flat(findings: Findings) -> list[str]:
    """A sentence if images are of one colour, or nearly so, and one if transparency is the reason."""
    flat = Counter(
        findings.rows[index].label for index in np.flatnonzero(findings.scan.looks.column("contrast") < FLAT)
    )
    sentences = []
    if flat:
        sentences.append(f"{_images(flat.total())} of one colour or nearly so: {_by_class(findings, flat)}")
    return sentences + ([advice(findings).strip()] if advice(findings) else [])


def advice(findings: Findings) -> str:
    """Advice about images that vanish on their background, left out or not; empty if there are none."""
    grounds = findings.vanished
    if not grounds:
        return ""
    (best, _), *_ = grounds.most_common(1)
    count, on = grounds.total(), findings.scan.drawn.background
    return f"{_images(count)} of one colour because transparent pixels become {on}; set pack.background={best}. "


def _images(count: int) -> str:
    return "1 image is" if count == 1 else f"{count} images are"


def _by_class(findings: Findings, counts: Counter[str]) -> str:
    kept = Counter(row.label for row in findings.rows)
    listed = [f"{count} of {kept[label]} in class '{label}'" for label, count in counts.most_common(SHOWN)]
    return ", ".join(listed) + (f" and {len(counts) - SHOWN} more classes" if len(counts) > SHOWN else "")
