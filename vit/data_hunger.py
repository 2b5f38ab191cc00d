"""How much data does each model need? `python -m vit.data_hunger` draws it from the runs that fit params.yaml."""

import argparse
from pathlib import Path

import numpy as np

from vit.config.params_file import flatten, load_params
from vit.errors import UserError, run_program
from vit.evaluation.sample_efficiency import Result, comparable, crossings, curve, differences, draw
from vit.files import write_table
from vit.folds import BLOCKS, OF_THE_MACHINE
from vit.registry.lookup import read_published_table
from vit.tracking.run import finished_runs_like
from vit.tracking.store import open_store

DEALS = ("split.seed", "split.fold")  # they decide on the test part
REPEATS = (*DEALS, "train.seed")
PREDICTIONS = "evaluation/predictions.csv"


def main() -> None:
    """Print accuracy by model and number of train images, and where the models change places; draw it if asked to."""
    parser = argparse.ArgumentParser(
        prog="python -m vit.data_hunger",
        description="Test accuracy against train images per class, a line per model, from the finished runs that fit "
        "params.yaml but for model.name, split.subset_per_class, seeds and folds.",
    )
    parser.add_argument("--out", type=Path, metavar="PNG", help="where to draw it")
    parser.add_argument("--csv", type=Path, metavar="CSV", help="where to write the lines as a table")
    parser.add_argument(
        "--may-differ",
        metavar="KEY",
        action="append",
        default=[],
        help="a parameter that each model has its own of, such as train.epochs; may be given again",
    )
    arguments = parser.parse_args()
    settings = load_params().evaluate
    points, notes = comparable(results_of_params(arguments.may_differ))
    rows = curve(points, settings.confidence_level, settings.seed)
    pairs = differences(points, settings.confidence_level, settings.seed)
    print("\n".join([*table(rows), "", *map(_line, pairs), *crossings(pairs), *notes]))
    if arguments.csv:
        write_table(arguments.csv, rows)
    if arguments.out:
        deals = {result.deal: len(result.right) for results in points.values() for result in results}
        draw(arguments.out, rows, sum(deals.values()), settings.confidence_level)


def results_of_params(own: list[str]) -> list[Result]:
    """The newest finished run per model, size and repeat that fits params.yaml, but for the keys of `own`.

    Raises UserError if a key is unknown, or if two runs that should be one differ in such a key.
    """
    params = load_params().model_dump(by_alias=True)
    wanted = flatten({block: params[block] for block in BLOCKS})
    if unknown := [key for key in own if key not in wanted]:
        raise UserError(f"--may-differ {unknown[0]}: no parameter of a training; write it as in params.yaml: block.key")
    may_differ = {"model.name", "split.subset_per_class", *REPEATS, *OF_THE_MACHINE, *own}
    found: dict[tuple[str, ...], object] = {}
    for run in finished_runs_like(open_store(), wanted, may_differ):
        values = run.data.params
        point = tuple(values[key] for key in ("model.name", "split.subset_per_class", *REPEATS))
        newest = found.setdefault(point, run)
        if differing := [key for key in own if newest.data.params[key] != values[key]]:
            raise UserError(
                f"runs '{newest.info.run_name}' and '{run.info.run_name}' differ in nothing that is drawn but in "
                f"{differing[0]} ({newest.data.params[differing[0]]} and {values[differing[0]]}); delete one in MLflow"
            )
    return [_result(run) for run in found.values()]


def _result(run) -> Result:
    values, metrics = run.data.params, run.data.metrics
    rows = sorted(read_published_table(run, PREDICTIONS), key=lambda row: row["path"])
    classes = sum(name.startswith("p_") for name in rows[0])
    return Result(
        run=run.info.run_name,
        model=values["model.name"],
        subset=values["split.subset_per_class"],
        repeat=tuple(values[key] for key in REPEATS),
        deal=tuple(values[key] for key in DEALS),
        trained=run.data.tags["train_sha256"],
        tested=run.data.tags["test_sha256"],
        per_class=metrics["train_images"] / classes,
        nearest_neighbour=metrics["nearest_neighbour_accuracy"],
        paths=[row["path"] for row in rows],
        groups=np.array([row["group"] for row in rows]),
        right=np.array([row["label"] == row["prediction"] for row in rows]),
    )


def table(rows: list[dict]) -> list[str]:
    """A line per row of `curve`, under a header."""
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


if __name__ == "__main__":
    run_program(main)
