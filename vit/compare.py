"""Is one run better than another? `python -m vit.compare RUN_A RUN_B` tests it on the test images of both."""

import argparse

import numpy as np

from vit.config.params_file import load_params
from vit.errors import UserError, run_program
from vit.evaluation.paired import mcnemar, paired_bootstrap
from vit.registry.lookup import find_named_run, read_published_table
from vit.tracking.store import open_store

PREDICTIONS = "evaluation/predictions.csv"
Table = list[dict[str, str]]


def main() -> None:
    """Compare two runs by their published predictions. Raises UserError if they did not answer the same images."""
    parser = argparse.ArgumentParser(prog="python -m vit.compare", description="Compare two runs on their test images.")
    kinds = "the id or name of a run, models:/NAME@ALIAS or models:/NAME/VERSION"
    parser.add_argument("run_a", metavar="RUN_A", help=kinds)
    parser.add_argument("run_b", metavar="RUN_B", help=kinds)
    arguments = parser.parse_args()
    settings = load_params().evaluate
    store = open_store()
    runs = [find_named_run(store, reference) for reference in (arguments.run_a, arguments.run_b)]
    tables = [read_published_table(run, PREDICTIONS) for run in runs]
    for letter, run in zip("AB", runs, strict=True):
        print(f"{letter}: run '{run.info.run_name}' ({run.info.run_id})")
    print(comparison(*tables, settings.confidence_level, settings.seed))
    digests = {data.dataset.digest for run in runs for data in run.inputs.dataset_inputs}
    if len(digests) > 1:
        print("note: the runs were made from different data sets; their test images have equal paths and labels")


def comparison(table_a: Table, table_b: Table, confidence_level: float, seed: int) -> str:
    """What two tables of predictions for the same images say of each other, in a few lines.

    Raises UserError if the images or their labels differ.
    """
    rows_a, rows_b = ({row["path"]: row for row in table} for table in (table_a, table_b))
    _refuse_other_images(rows_a, rows_b)
    paths = sorted(rows_a)
    correct_a, correct_b = (
        np.array([rows[path]["label"] == rows[path]["prediction"] for path in paths]) for rows in (rows_a, rows_b)
    )
    groups = _groups(paths, rows_a, rows_b)
    number = len(paths) if groups is None else len(set(groups))
    difference, low, high = paired_bootstrap(correct_a, correct_b, groups, confidence_level, seed)
    better = "B is better" if low > 0 else "A is better" if high < 0 else "no difference is shown"
    only_a, only_b = int((correct_a & ~correct_b).sum()), int((correct_b & ~correct_a).sum())
    lines = [
        f"accuracy on the same {len(paths)} test images: A {correct_a.mean():.4f}, B {correct_b.mean():.4f}",
        f"right: both {int((correct_a & correct_b).sum())}, only A {only_a}, only B {only_b}, "
        f"neither {int((~correct_a & ~correct_b).sum())}",
        f"B minus A: {difference:+.4f}, {confidence_level:.0%} interval {low:+.4f} to {high:+.4f} "
        f"(paired bootstrap of {number} groups): {better}",
        f"McNemar's exact test: p = {mcnemar(correct_a, correct_b):.3g}",
    ]
    if number < len(paths):
        lines.append("images of a group are alike, which McNemar's test does not know: believe the interval")
    return "\n".join(lines)


def _refuse_other_images(rows_a: dict[str, dict], rows_b: dict[str, dict]) -> None:
    if rows_a.keys() != rows_b.keys():
        common = len(rows_a.keys() & rows_b.keys())
        raise UserError(
            f"the runs were tested on different images: A on {len(rows_a)}, B on {len(rows_b)}, {common} of them the "
            "same; train both with the same data and split"
        )
    renamed = [path for path in rows_a if rows_a[path]["label"] != rows_b[path]["label"]]
    if renamed:
        first = renamed[0]
        raise UserError(
            f"{len(renamed)} test images have different labels in the two runs, e.g. '{first}' is "
            f"'{rows_a[first]['label']}' and '{rows_b[first]['label']}'; train both on the same data"
        )


def _groups(paths: list[str], *both: dict[str, dict]) -> np.ndarray | None:
    """The images' groups; of two groupings the one with fewer, which doubts more. None for runs from before groups."""
    known = [np.array([rows[path]["group"] for path in paths]) for rows in both if "group" in rows[paths[0]]]
    return min(known, key=lambda groups: len(set(groups)), default=None)


if __name__ == "__main__":
    run_program(main)
