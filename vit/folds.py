"""Mean and spread over the folds of a k-fold sweep: `python -m vit.folds` reads the runs that fit params.yaml."""

from statistics import mean, stdev

from vit.config.params_file import flatten, load_params
from vit.errors import UserError, run_program
from vit.tracking.run import finished_runs_like
from vit.tracking.store import open_store

SHOWN = ("test_accuracy", "best_val_accuracy", "majority_accuracy", "nearest_neighbour_accuracy", "leakage")
OF_THE_MACHINE = {"pack.workers", "train.attention", "train.device", "train.precision", "train.threads"}
MAY_DIFFER = {"split.folds", "split.fold"} | OF_THE_MACHINE
BLOCKS = ("data", "split", "pack", "model", "train")


def main() -> None:
    """Print one table per number of folds. Raises UserError if there is no run of a fold."""
    params = load_params().model_dump(by_alias=True)
    wanted = flatten({block: params[block] for block in BLOCKS})
    found: dict[int, dict[int, dict[str, float]]] = {}
    for run in finished_runs_like(open_store(), wanted, MAY_DIFFER):
        ours = run.data.params
        if ours["split.folds"] != "None":
            found.setdefault(int(ours["split.folds"]), {}).setdefault(int(ours["split.fold"]), run.data.metrics)
    if not found:
        raise UserError(
            "no finished run of a fold has the other parameters of params.yaml; make them with "
            "`dvc exp run --queue -S split.folds=5 -S 'split.fold=range(5)'` and `dvc queue start`"
        )
    for folds in sorted(found):
        print(table(folds, found[folds]))


def table(folds: int, metrics: dict[int, dict[str, float]]) -> str:
    """A line per fold, mean and standard deviation below, and which folds are missing."""
    shown = [name for name in SHOWN if all(name in values for values in metrics.values())]
    width = max(map(len, shown)) + 2
    columns = {name: [metrics[fold][name] for fold in sorted(metrics)] for name in shown}
    lines = ["fold".ljust(6) + "".join(name.rjust(width) for name in shown)]
    for index, fold in enumerate(sorted(metrics)):
        lines.append(f"{fold}".ljust(6) + "".join(f"{columns[name][index]:.4f}".rjust(width) for name in shown))
    lines.append("mean".ljust(6) + "".join(f"{mean(columns[name]):.4f}".rjust(width) for name in shown))
    if len(metrics) > 1:
        lines.append("std".ljust(6) + "".join(f"{stdev(columns[name]):.4f}".rjust(width) for name in shown))
    missing = sorted(set(range(folds)) - set(metrics))
    if missing:
        lines.append(f"missing: fold {', '.join(map(str, missing))} of {folds}")
    return "\n".join(lines)


if __name__ == "__main__":
    run_program(main)
