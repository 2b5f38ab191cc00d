"""`vit suspects`: which labels may be wrong?"""

from pathlib import Path

import click

from vit.cli.command import command, json_option, print_json

PRINTED = 10
MANY = 0.2  # share of suspects above which a weak model is the likelier cause


@command("vit suspects --top 200 --csv suspects.csv")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="PNG",
    default=Path("suspects.png"),
    help="Draw the first 64 on a contact sheet in this file.",
)
@click.option(
    "--csv",
    "table",
    type=click.Path(path_type=Path),
    metavar="CSV",
    default=Path("suspects.csv"),
    help="Write the list to this file.",
)
@click.option(
    "--top",
    type=click.IntRange(min=1),
    metavar="N",
    show_default="the suspected images",
    help="List the N images with the lowest scores, suspected or not.",
)
@json_option(
    "one object: runs, images (with predictions by a model that was not trained on them), total, suspected (number) "
    "and suspects, a list of objects with rank, path, label, suggested, p_label, p_suggested, score, suspected, part, "
    "fold, sha256, decision (of a person, in feedback/labels.csv)"
)
def suspects(out: Path, table: Path, top: int | None, as_json: bool) -> None:
    """List labels that are probably wrong, most suspicious first.

    Uses the predictions of a k-fold sweep for the fold that each run was not trained on, or val and test of the latest
    run if there is no sweep. Runs must match params.yaml. Nothing in the data is changed.
    """
    from vit.config.files import PACKED, PREPROCESSING, RAW
    from vit.config.params_file import load_params
    from vit.evaluation.suspects import suspects_sheet
    from vit.files import write_table
    from vit.registry.suspected import COLUMNS, suspected_labels

    found = suspected_labels(load_params().split.folds, top)
    rows = found["suspects"]
    write_table(table, rows, list(COLUMNS))
    if as_json:
        print_json(found)
    else:
        print("\n".join([*as_text(found, rows), f"list: {table}"]))
    suspects_sheet(out, rows, RAW, PACKED / PREPROCESSING)
    if not as_json:
        print(f"contact sheet: {out}")


def as_text(summary: dict, rows: list[dict]) -> list[str]:
    """Where the predictions are from, how many labels are suspected, and the first rows as a table."""
    runs, images, total = summary["runs"], summary["images"], summary["total"]
    lines = [
        f"{images} of {total} images have predictions by a model not trained on them, from {len(runs)} run(s): "
        f"{', '.join(runs)}"
    ]
    if images < total:
        lines.append("a k-fold sweep judges all images; see docs/guides/label-errors.md")
    lines.append(f"{summary['suspected']} labels are suspected ({summary['suspected'] / images:.1%})")
    if summary["suspected"] > MANY * images:
        lines.append("that is a lot: unless the labels are bad, most suspects are mistakes of a weak model")
    if rows:
        width = max(len("path"), *(len(row["path"]) for row in rows[:PRINTED])) + 2
        lines += ["", f"{'rank':<6}{'path'.ljust(width)}label -> suggested"]
        lines += [
            f"{row['rank']:<6}{row['path'].ljust(width)}{row['label']} ({row['p_label']:.0%}) -> "
            f"{row['suggested']} ({row['p_suggested']:.0%})"
            for row in rows[:PRINTED]
        ]
        if len(rows) > PRINTED:
            lines.append(f"... and {len(rows) - PRINTED} more")
        lines.append("")
    return lines
