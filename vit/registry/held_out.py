"""Predictions for images that a run was not trained on: of a complete k-fold sweep, or of a single run."""

from dataclasses import dataclass

import numpy as np
from mlflow.entities import Run

from vit.config.files import AUDITED_IMAGES, PREDICTIONS, VAL_PREDICTIONS
from vit.errors import UserError
from vit.registry.lookup import read_published_table
from vit.registry.sweeps import runs_by_fold

SWEEP = "`dvc exp run --queue -S split.folds=5 -S 'split.fold=range(5)'` and `dvc queue start`"


@dataclass(frozen=True)
class HeldOut:
    """Images with their labels (N,) as class indices, and probabilities (N, K) by models not trained on them.

    `images` holds path, label, part, fold (None for a single run) and sha256 of each; `total` counts the images of the
    whole split.
    """

    runs: list[str]
    images: list[dict]
    classes: list[str]
    labels: np.ndarray
    probabilities: np.ndarray
    total: int


def held_out_of_params(folds: int | None) -> HeldOut:
    """Of the finished runs that match params.yaml except for the fold; `folds` is its split.folds.

    These are the runs of one sweep: with `folds` folds, or, for None, the complete sweep with the most folds. Without
    any sweep it is the latest run. Raises UserError if a fold is missing, if there is no run, or if the runs of a sweep
    saw different images or labels.
    """
    return _together(_chosen_runs(folds))


def _chosen_runs(folds: int | None) -> list[tuple[int | None, Run]]:
    """The runs by fold; the fold of a single run is None."""
    found, single = runs_by_fold()
    complete = [count for count, runs in found.items() if len(runs) == count and folds in (None, count)]
    if complete:
        return [(fold, run) for fold, run in sorted(found[max(complete)].items())]
    if folds is None and single:
        return [(None, single)]
    if begun := [count for count in found if folds in (None, count)]:
        count = max(begun)
        missing = ", ".join(str(fold) for fold in range(count) if fold not in found[count])
        raise UserError(
            f"the sweep of {count} folds has no finished run of fold {missing}; run it with "
            f"`dvc exp run -S split.folds={count} -S split.fold=N`"
        )
    raise UserError(f"no finished run matches params.yaml; run `dvc repro`, or all folds with {SWEEP}")


def _together(runs: list[tuple[int | None, Run]]) -> HeldOut:
    """One prediction per image: the mean over the runs that tested it, or else that had it in val.

    The fold is the test split, but with strategy `folders` the val split, beside a test split common to all runs.
    """
    content: dict[str, tuple[str, str]] = {}
    first = runs[0][1].info.run_name
    found: dict[str, list[dict]] = {}
    for fold, run in runs:
        for row in read_published_table(run, f"audit/{AUDITED_IMAGES}"):
            ours = row["label"], row["file_sha256"]
            if content.setdefault(row["path"], ours) != ours:
                raise UserError(
                    f"runs '{first}' and '{run.info.run_name}' saw different data: the label or file of {row['path']} "
                    "changed between them; run all folds again on the same data"
                )
        for part, table in (("test", PREDICTIONS), ("val", VAL_PREDICTIONS)):
            for row in read_published_table(run, f"evaluation/{table}"):
                found.setdefault(row["path"], []).append({"part": part, "fold": fold, "row": row})
    images, vectors = [], []
    for path in sorted(found):
        part = "test" if any(one["part"] == "test" for one in found[path]) else "val"
        used = [one for one in found[path] if one["part"] == part]
        label, sha256 = content[path]
        fold = used[0]["fold"] if len(used) == 1 else None
        images.append({"path": path, "label": label, "part": part, "fold": fold, "sha256": sha256})
        vectors.append(np.mean([_probabilities(one["row"]) for one in used], axis=0))
    anyone = next(iter(found.values()))[0]["row"]
    classes = [name.removeprefix("p_") for name in anyone if name.startswith("p_")]
    index = {name: number for number, name in enumerate(classes)}
    return HeldOut(
        runs=[run.info.run_name for _, run in runs],
        images=images,
        classes=classes,
        labels=np.array([index[image["label"]] for image in images]),
        probabilities=np.array(vectors),
        total=len(content),
    )


def _probabilities(row: dict[str, str]) -> list[float]:
    return [float(value) for name, value in row.items() if name.startswith("p_")]
