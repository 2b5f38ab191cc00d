"""The audit of pixel values: their kinds, their common range, and what is doubtful about it."""

import numpy as np

from vit.data.audit.findings import SHOWN
from vit.data.audit.scan import Drawn, Scan
from vit.data.images import CLIPPED_ANYWAY, is_range
from vit.data.values import EIGHT_BITS


def describe_values(scan: Scan) -> dict:
    """For audit.json: images by kind; where some have more than 8 bits, the range, its rule, and what it leaves out."""
    kinds = dict(scan.looks.counted("kind").most_common())
    scale = scan.scale
    if scale is None:
        return {"kinds": kinds, "range": None}
    return {
        "kinds": kinds,
        "range": scale.value_range,
        "rule": scale.rule,
        "found": list(scale.found),
        "clipped": round(_clipped(scan), 6),
        "missing": round(scale.missing, 6),
    }


def value_rows(values: dict) -> list[list[str]]:
    """The same as rows of a table for people."""
    rows = [[f"images of {kind}", f"{count:,}"] for kind, count in values["kinds"].items()]
    if values["range"] is not None:
        low, high = values["range"]
        rows.append([f"values that become 0 and 255 ({values['rule']})", f"{low:g}, {high:g}"])
        rows.append(["smallest and largest value", ", ".join(f"{value:g}" for value in values["found"])])
        rows.append(["values outside the range, clipped", f"{values['clipped']:.2%}"])
        rows.append(["pixels without a value (NaN, nodata)", f"{values['missing']:.2%}"])
    return rows


def find_doubtful_values(scan: Scan, asked: Drawn) -> list[str]:
    """One sentence for each remark about the range; `asked` holds the parameters."""
    if scan.scale is None:
        unused = f"pack.value_range {asked.value_range} changes nothing: all images have 8 bits per channel"
        return [unused] if is_range(asked.value_range) else []
    low, high = scan.scale.value_range
    found = []
    plain = scan.looks.counted("kind")[EIGHT_BITS]
    if plain:
        found.append(
            f"{plain} of {len(scan.looks)} images have 8 bits per channel and are not scaled, the others are scaled "
            f"from {low:g}..{high:g}; check that both have the same brightness{_by_class(scan)}"
        )
    if len(scan.scale.kinds) > 1:
        kinds = ", ".join(f"{kind} ({count})" for kind, count in scan.scale.kinds.items())
        found.append(f"images with values of several kinds share the range {low:g}..{high:g}: {kinds}")
    if (clipped := _clipped(scan)) > CLIPPED_ANYWAY:
        found.append(
            f"{clipped:.1%} of the values lie outside the range {low:g}..{high:g} and are clipped; set pack.value_range"
        )
    return found


def _by_class(scan: Scan) -> str:
    """Only if all images of some classes have 8 bits and all of others more, so that the bits reveal the class."""
    kinds: dict[str, set[bool]] = {}
    for row, kind in zip(scan.rows, scan.looks.words("kind"), strict=True):
        kinds.setdefault(row.label, set()).add(kind == EIGHT_BITS)
    plain, deep = (sorted(label for label, found in kinds.items() if found == {kind}) for kind in (True, False))
    if not plain or not deep:
        return ""
    return f". The bits alone reveal the class: {', '.join(plain[:SHOWN])} have 8, {', '.join(deep[:SHOWN])} have more"


def _clipped(scan: Scan) -> float:
    deep = np.array([kind != EIGHT_BITS for kind in scan.looks.words("kind")])
    return float(scan.looks.column("clipped")[deep].mean()) if deep.any() else 0.0
