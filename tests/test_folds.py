import pytest
from mlflow import MlflowClient

from tests.presets import preset
from vit.config.params_file import flatten
from vit.errors import UserError
from vit.folds import main


def add_run(client: MlflowClient, folder, accuracy: float, changes: dict, status: str = "FINISHED") -> None:
    experiment = client.get_experiment_by_name("vit").experiment_id
    run_id = client.create_run(experiment).info.run_id
    (folder / "other").mkdir(exist_ok=True)
    for key, value in flatten(preset(folder / "other", "shapes", changes).model_dump(by_alias=True)).items():
        client.log_param(run_id, key, str(value))
    for name in ("test_accuracy", "best_val_accuracy", "majority_accuracy", "leakage"):
        client.log_metric(run_id, name, accuracy if name == "test_accuracy" else 0.25)
    client.set_terminated(run_id, status)


def test_mean_and_spread_are_over_the_folds_of_the_present_parameters(client, tmp_path, capsys):
    for fold, accuracy in enumerate((0.5, 0.6, 0.7)):
        add_run(client, tmp_path, accuracy, {"split.folds": 3, "split.fold": fold, "train.threads": 1})
    add_run(client, tmp_path, 0.1, {"split.folds": 3, "split.fold": 0, "train.lr": 0.5})
    add_run(client, tmp_path, 0.1, {"split.folds": 3, "split.fold": 1}, status="FAILED")
    add_run(client, tmp_path, 0.1, {})
    main()
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["fold", "test_accuracy", "best_val_accuracy", "majority_accuracy", "leakage"]
    assert [line[:2] for line in lines[1:]] == [
        ["0", "0.5000"],
        ["1", "0.6000"],
        ["2", "0.7000"],
        ["mean", "0.6000"],
        ["std", "0.1000"],  # of a sample: (0.01 + 0 + 0.01) / 2 = 0.01, its root 0.1
    ]


def test_missing_folds_are_named(client, tmp_path, capsys):
    add_run(client, tmp_path, 0.5, {"split.folds": 4, "split.fold": 2})
    main()
    assert "missing: fold 0, 1, 3 of 4" in capsys.readouterr().out


def test_without_any_fold_the_way_to_make_them_is_named(client, tmp_path):
    add_run(client, tmp_path, 0.5, {})
    with pytest.raises(UserError, match=r"no finished run of a fold .*dvc exp run --queue -S split.folds=5"):
        main()
