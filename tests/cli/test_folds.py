import json

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from tests.presets import preset
from vit.config.params_file import flatten

pytestmark = pytest.mark.long


def add_run(client: MlflowClient, folder, accuracy: float, changes: dict, status: str = "FINISHED") -> None:
    experiment = client.get_experiment_by_name("vit").experiment_id
    run_id = client.create_run(experiment).info.run_id
    (folder / "other").mkdir(exist_ok=True)
    params = flatten(preset(folder / "other", "shapes", changes).model_dump(by_alias=True))
    scores = {"test_accuracy": accuracy, "best_val_accuracy": 0.25, "majority_accuracy": 0.25, "leakage": 0.25}
    client.log_batch(
        run_id,
        [Metric(name, value, 0, 0) for name, value in scores.items()],
        [Param(key, str(value)) for key, value in params.items()],
    )
    client.set_terminated(run_id, status)


def test_mean_and_spread_are_over_the_folds_of_the_present_parameters(client, tmp_path, printed):
    for fold, accuracy in enumerate((0.5, 0.6, 0.7)):
        add_run(client, tmp_path, accuracy, {"split.folds": 3, "split.fold": fold, "train.threads": 1})
    add_run(client, tmp_path, 0.1, {"split.folds": 3, "split.fold": 0, "train.lr": 0.5})
    add_run(client, tmp_path, 0.1, {"split.folds": 3, "split.fold": 1}, status="FAILED")
    add_run(client, tmp_path, 0.1, {})
    lines = [line.split() for line in printed("folds").splitlines()]
    assert lines[0] == ["fold", "test_accuracy", "best_val_accuracy", "majority_accuracy", "leakage"]
    assert [line[:2] for line in lines[1:]] == [
        ["0", "0.5000"],
        ["1", "0.6000"],
        ["2", "0.7000"],
        ["mean", "0.6000"],
        ["std", "0.1000"],  # of a sample: (0.01 + 0 + 0.01) / 2 = 0.01, its root 0.1
    ]


def test_missing_folds_are_named(client, tmp_path, printed):
    add_run(client, tmp_path, 0.5, {"split.folds": 4, "split.fold": 2})
    assert "missing: fold 0, 1, 3 of 4" in printed("folds")


def test_json_has_every_number_of_folds_with_its_runs_mean_std_and_what_is_missing(client, tmp_path, printed):
    for folds, fold, accuracy in ((4, 2, 0.5), (2, 1, 0.75), (2, 0, 0.25)):
        add_run(client, tmp_path, accuracy, {"split.folds": folds, "split.fold": fold})
    others = {"best_val_accuracy": 0.25, "majority_accuracy": 0.25, "leakage": 0.25}
    two, four = json.loads(printed("folds", "--json"))
    assert two == {
        "folds": 2,
        "runs": [{"fold": fold, "test_accuracy": 0.25 + 0.5 * fold} | others for fold in (0, 1)],
        "mean": {"test_accuracy": 0.5} | others,
        "std": {"test_accuracy": pytest.approx(0.125**0.5)} | dict.fromkeys(others, 0.0),
        "missing": [],
    }
    assert (four["folds"], len(four["runs"]), four["std"], four["missing"]) == (4, 1, None, [0, 1, 3])


def test_without_any_fold_the_way_to_make_them_is_named(client, tmp_path, refused):
    add_run(client, tmp_path, 0.5, {})
    said = refused("folds")
    assert "no finished k-fold run" in said and "dvc exp run --queue -S split.folds=5" in said
