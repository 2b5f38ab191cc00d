"""The audit's findings and the split's leakage: JSON for programs, tables, and a page for people."""

import base64
from collections import Counter
from collections.abc import Iterator
from html import escape
from pathlib import Path

import numpy as np

from vit.config.files import AUDITED_IMAGES
from vit.data.audit.findings import Findings
from vit.data.audit.leakage import HELD_OUT, Leakage
from vit.data.audit.pictures import pair_sheet, sample_sheet
from vit.data.audit.scan import FLAT, misnamed
from vit.data.audit.torn import torn_pairs
from vit.data.audit.values import describe_values, value_rows
from vit.data.manifest import PARTS, Row
from vit.files import replacing, write_json, write_table

TORN = {"test": "torn_near_duplicates.png", "val": "torn_near_duplicates_val.png"}
IMAGE_COLUMNS = ["path", "part", "label", "group", "file_sha256", "pixels_sha256"]
BARS_SEEN = 0.02  # share of the area: less is noise at the border
STYLE = (
    "body{font:15px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em}"
    "table{border-collapse:collapse;margin:1em 0}td,th{border:1px solid #ccc;padding:.2em .7em;text-align:right}"
    "td:first-child,th:first-child{text-align:left}img{max-width:100%}.warning{background:#fff3cd;padding:.5em 1em}"
)


def summarize(
    findings: Findings,
    parts: dict[str, list[Row]],
    leakage: dict[str, Leakage],
    strategy: str,
    reason: str,
    warnings: list[str],
) -> dict:
    """All findings as one JSON value; shares are in [0, 1], sizes in pixels."""
    looks = findings.scan.looks
    sides = np.stack([looks.column("width"), looks.column("height")])
    bars = looks.column("bars")
    members = np.bincount(findings.groups)
    return {
        "strategy": strategy,
        "reason": reason,
        "warnings": warnings,
        "usable_images": len(findings.rows),
        "quarantined": len(findings.broken),
        "exact_duplicates": len(findings.copies),
        "contradictory_labels": len(findings.contradictory),
        "left_out_at_gaps_or_by_subset": len(findings.rows) - sum(len(rows) for rows in parts.values()),
        "near_duplicate_groups": int((members > 1).sum()),
        "images_with_near_duplicates": int(members[members > 1].sum()),
        "misnamed": [{"path": path, "format": name} for path, name in misnamed(findings.scan)],
        "formats": dict(looks.counted("format").most_common()),
        "sizes": _sizes(sides),
        "smallest_side": int(sides.min()),
        "largest_side": int(sides.max()),
        "black_bars": {"share_of_area": round(float(bars.mean()), 4), "images": int((bars > BARS_SEEN).sum())},
        "values": describe_values(findings.scan),
        "flat_images": int((looks.column("contrast") < FLAT).sum()),
        "vanished_on_their_background": findings.vanished.total(),
        "classes": {part: dict(sorted(Counter(row.label for row in parts[part]).items())) for part in PARTS},
        "leakage": leakage["test"].figures(),
        "val_leakage": leakage["val"].figures(),
    }


def write_report(folder: Path, raw: Path, findings: Findings, parts: dict[str, list[Row]], summary: dict) -> None:
    """Fill `folder` with audit.json, report.html, the tables of findings, and the contact sheets."""
    write_json(folder / "audit.json", summary)
    write_table(
        folder / "quarantine.csv",
        [{"path": row.path, "reason": reason} for row, reason in findings.broken],
        ["path", "reason"],
    )
    copies = [{"path": copy.path, "reason": "same pixels as", "other": kept.path} for copy, kept in findings.copies]
    doubted = [
        {"path": row.path, "reason": "same pixels under two labels", "other": ""} for row in findings.contradictory
    ]
    write_table(folder / "duplicates.csv", copies + doubted, ["path", "reason", "other"])
    twins = np.flatnonzero(np.bincount(findings.groups)[findings.groups] > 1).tolist()
    grouped = sorted((int(findings.groups[index]), findings.rows[index].path) for index in twins)
    write_table(
        folder / "near_duplicates.csv",
        ({"group": number, "path": path} for number, path in grouped),
        ["group", "path"],
    )
    write_table(folder / AUDITED_IMAGES, _image_rows(findings, parts), IMAGE_COLUMNS)
    sample_sheet(folder / "samples.png", raw, findings.rows, findings.scan.drawn)
    for part, name in TORN.items():
        if pairs := torn_pairs(findings, parts, part):
            pair_sheet(folder / name, raw, pairs, part, findings.scan.drawn)
    with replacing(folder / "report.html") as temporary:
        temporary.write_text(_page(folder, summary), encoding="utf-8")


def _sizes(sides: np.ndarray) -> dict[str, int]:
    """The ten most frequent of these widths and heights (2, N); of equally frequent ones those that come first."""
    both = sides[0].astype(np.int64) << 32 | sides[1]
    sizes, first, counts = np.unique(both, return_index=True, return_counts=True)
    order = np.lexsort((first, -counts))[:10]
    return {f"{sizes[i] >> 32}x{sizes[i] & 0xFFFFFFFF}": int(counts[i]) for i in order}


def _image_rows(findings: Findings, parts: dict[str, list[Row]]) -> Iterator[dict]:
    """Each image of a split with digests of its content, by which another split can recognize it."""
    files, pixels = (findings.scan.looks.column(name) for name in ("file", "pixels"))
    for part in PARTS:
        for row, index in zip(parts[part], findings.positions(parts[part]).tolist(), strict=True):
            digests = files[index].tobytes().hex(), pixels[index].tobytes().hex()
            yield dict(zip(IMAGE_COLUMNS, (row.path, part, row.label, row.group, *digests), strict=True))


def _page(folder: Path, summary: dict) -> str:
    of_test, of_val = summary["leakage"], summary["val_leakage"]
    classes = summary["classes"]
    rows = [[name, *(f"{classes[part].get(name, 0):,}" for part in PARTS)] for name in classes["train"]]
    total = ["all", *(f"{sum(classes[part].values()):,}" for part in PARTS)]
    found = [
        [name.replace("_", " "), f"{summary[name]:,}"]
        for name in (
            "usable_images", "quarantined", "exact_duplicates", "contradictory_labels", "near_duplicate_groups",
            "images_with_near_duplicates", "left_out_at_gaps_or_by_subset", "smallest_side", "largest_side",
        )
    ]  # fmt: skip
    bars = summary["black_bars"]
    found.append(["images with black bars", f"{bars['images']:,}"])
    found.append(["area that is black bars", f"{bars['share_of_area']:.1%}"])
    found.append(["images of one colour, or nearly so", f"{summary['flat_images']:,}"])
    found.append(["files with another format's ending", f"{len(summary['misnamed']):,}"])
    figures = [
        [name.replace("_", " "), *(f"{of[name]:.1%}" if name in of else "" for of in (of_val, of_test))]
        for name in {**of_test, **of_val}
    ]
    sheets = [("samples.png", "Samples of each class")]
    sheets += [(name, f"Near duplicates in train and {part}") for part, name in TORN.items()]
    return "\n".join(
        [
            f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Audit</title><style>{STYLE}</style>',
            "<h1>Audit of the images and leakage of the split</h1>",
            *(f'<p class="warning">{escape(warning)}</p>' for warning in summary["warnings"]),
            f"<p>Split by <b>{escape(summary['strategy'])}</b>: {escape(summary['reason'])}.</p>",
            "<h2>Leakage</h2>",
            "<p>How well a program does on val and test if it only recognizes train images: by near duplicates, by the "
            "nearest of small thumbnails, or by the nearest frame number, without reading any pixel.</p>",
            _table(["share of the images", *HELD_OUT], figures),
            "<h2>Images per split</h2>",
            _table(["class", *PARTS], [*rows, total]),
            "<h2>Found</h2>",
            _table(["", ""], found),
            _table(["values", ""], value_rows(summary["values"])),
            _table(["format", "images"], [[name, f"{count:,}"] for name, count in summary["formats"].items()]),
            _table(["width x height", "images"], [[name, f"{count:,}"] for name, count in summary["sizes"].items()]),
            *(_picture(folder / name, title) for name, title in sheets if (folder / name).exists()),
            "</html>\n",
        ]
    )


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = ["".join(f"<th>{escape(cell)}</th>" for cell in header)]
    lines += ["".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows]
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def _picture(path: Path, title: str) -> str:
    """The picture embedded in the page, so that the page can be sent, or shown by MLflow, as a single file."""
    data = base64.b64encode(path.read_bytes()).decode()
    return f'<h2>{escape(title)}</h2><img alt="{escape(title)}" src="data:image/png;base64,{data}">'
