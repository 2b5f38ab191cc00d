"""`vit data-hunger`: how much data does each model need?"""

from pathlib import Path

import click

from vit.cli.command import command, json_option, print_json


@command("vit data-hunger --out data_hunger.png --csv data_hunger.csv")
@click.option("--out", type=click.Path(path_type=Path), metavar="PNG", help="Draw the curves to this file.")
@click.option("--csv", "table", type=click.Path(path_type=Path), metavar="CSV", help="Write the table to this file.")
@click.option(
    "--may-differ",
    metavar="KEY",
    multiple=True,
    help="A parameter that may differ between models, such as train.epochs; can be repeated.",
)
@json_option(
    "one object: curve (model, per_class, runs, accuracy, low, high, spread, nearest_neighbour), differences (first, "
    "second, per_class, difference, low, high, verdict), crossings and notes (sentences)"
)
def data_hunger(out: Path | None, table: Path | None, may_differ: tuple[str, ...], as_json: bool) -> None:
    """Show test accuracy by number of train images and model.

    Uses all finished runs that match params.yaml except for model.name, split.subset_per_class, seeds and folds.
    """
    from vit.config.params_file import load_params
    from vit.evaluation.sample_efficiency import comparable, crossings, curve, differences, draw
    from vit.files import write_table
    from vit.registry.sweeps import results_of_params

    settings = load_params().evaluate
    points, notes = comparable(results_of_params(list(may_differ)))
    rows = curve(points, settings.confidence_level, settings.seed)
    pairs = differences(points, settings.confidence_level, settings.seed)
    if as_json:
        print_json({"curve": rows, "differences": pairs, "crossings": crossings(pairs), "notes": notes})
    else:
        print("\n".join([*as_table(rows), "", *map(_line, pairs), *crossings(pairs), *notes]))
    if table:
        write_table(table, rows)
    if out:
        deals = {result.deal: len(result.right) for results in points.values() for result in results}
        draw(out, rows, sum(deals.values()), settings.confidence_level)


def as_table(rows: list[dict]) -> list[str]:
    """One line per row of `curve`, below a header."""
    width = max(len("model"), *(len(row["model"]) for row in rows)) + 2
    lines = ["model".ljust(width) + "per class  accuracy  interval          spread  runs  1-NN"]
    for row in rows:
        interval = "-" if row["low"] is None else f"{row['low']:.4f} to {row['high']:.4f}"
        spread = "-" if row["spread"] is None else f"{row['spread']:.4f}"
        lines.append(
            f"{row['model'].ljust(width)}{row['per_class']:<9g}  {row['accuracy']:.4f}    {interval.ljust(16)}  "
            f"{spread.ljust(6)}  {row['runs']:<4}  {row['nearest_neighbour']:.4f}"
        )
    return lines


def _line(row: dict) -> str:
    return (
        f"{row['first']} minus {row['second']} at {row['per_class']:g}: {row['difference']:+.4f} "
        f"({row['low']:+.4f} to {row['high']:+.4f}), {row['verdict']}"
    )
