"""The finished runs of a sweep: their parameters equal params.yaml except for the ones that the sweep varies."""

from statistics import mean, stdev

import numpy as np
from mlflow.entities import Run

from vit.config.params_file import flatten, load_params
from vit.errors import UserError
from vit.evaluation.sample_efficiency import Result
from vit.registry.lookup import predictions_of
from vit.tracking.run import finished_runs_like
from vit.tracking.store import open_store

BLOCKS = ("data", "split", "pack", "model", "pretrain", "train")
OF_THE_MACHINE = {"pack.workers", "train.attention", "train.device", "train.precision", "train.threads"}
DEALS = ("split.seed", "split.fold")  # parameters that change the test split
REPEATS = (*DEALS, "train.seed")
SHOWN = (
    "test_accuracy",
    "best_val_accuracy",
    "majority_accuracy",
    "nearest_neighbour_accuracy",
    "leakage",
    "val_leakage",
)


def folds_of_params() -> list[dict]:
    """For each number of folds: `folds`, the `runs` (fold and metrics), `mean`, `std` and the `missing` folds.

    The latest run of a fold counts; `std` is None for a single run. Raises UserError if there is no run of any fold.
    """
    found, _ = runs_by_fold()
    if not found:
        raise UserError(
            "no finished k-fold run matches the other parameters of params.yaml; start some with "
            "`dvc exp run --queue -S split.folds=5 -S 'split.fold=range(5)'` and `dvc queue start`"
        )
    return [
        _summary(folds, {fold: run.data.metrics for fold, run in runs.items()}) for folds, runs in sorted(found.items())
    ]


def runs_by_fold() -> tuple[dict[int, dict[int, Run]], Run | None]:
    """The latest finished run per number of folds and fold, and the latest without folds, that match params.yaml."""
    found: dict[int, dict[int, Run]] = {}
    single = None
    for run in finished_runs_like(open_store(), _wanted(), {"split.folds", "split.fold", *OF_THE_MACHINE}):
        ours = run.data.params
        if ours["split.folds"] != "None":
            found.setdefault(int(ours["split.folds"]), {}).setdefault(int(ours["split.fold"]), run)
        elif single is None:
            single = run
    return found, single


def _summary(folds: int, metrics: dict[int, dict[str, float]]) -> dict:
    shown = [name for name in SHOWN if all(name in values for values in metrics.values())]
    columns = {name: [values[name] for values in metrics.values()] for name in shown}
    return {
        "folds": folds,
        "runs": [{"fold": fold} | {name: metrics[fold][name] for name in shown} for fold in sorted(metrics)],
        "mean": {name: mean(values) for name, values in columns.items()},
        "std": {name: stdev(values) for name, values in columns.items()} if len(metrics) > 1 else None,
        "missing": sorted(set(range(folds)) - set(metrics)),
    }


def results_of_params(own: list[str]) -> list[Result]:
    """The latest finished run per model, size and repeat that matches params.yaml except for the keys in `own`.

    Raises UserError if a key is unknown, or if two runs for the same point differ in such a key.
    """
    wanted = _wanted()
    if unknown := [key for key in own if key not in wanted]:
        raise UserError(
            f"--may-differ {unknown[0]}: not a training parameter; write it as section.key, as in params.yaml"
        )
    may_differ = {"model.name", "split.subset_per_class", *REPEATS, *OF_THE_MACHINE, *own}
    found: dict[tuple[str, ...], Run] = {}
    for run in finished_runs_like(open_store(), wanted, may_differ):
        values = run.data.params
        point = tuple(values[key] for key in ("model.name", "split.subset_per_class", *REPEATS))
        newest = found.setdefault(point, run)
        if differing := [key for key in own if newest.data.params[key] != values[key]]:
            raise UserError(
                f"runs '{newest.info.run_name}' and '{run.info.run_name}' differ only in "
                f"{differing[0]} ({newest.data.params[differing[0]]} and {values[differing[0]]}); delete one in MLflow"
            )
    return [_result(run) for run in found.values()]


def _wanted() -> dict[str, object]:
    params = load_params().model_dump(by_alias=True)
    return flatten({block: params[block] for block in BLOCKS})


def _result(run: Run) -> Result:
    values, metrics = run.data.params, run.data.metrics
    rows = sorted(predictions_of(run), key=lambda row: row["path"])
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
