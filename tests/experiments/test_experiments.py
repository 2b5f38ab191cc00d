"""Experiments on a fresh clone: a queued sweep, single runs, a killed training, a server, a store that is away."""

import json
import urllib.request
from pathlib import Path
from secrets import token_hex

import pytest

from tests.conftest import documented, free_port
from tests.experiments.sweep import PARAMS, PARAMS_OF_OTHER_IMAGES, PARAMS_OF_THE_SWEEP, work_through_the_queue
from tests.store import look, stages_run
from vit.files import read_table
from vit.inference.classifier import Classifier
from vit.release import VERSION


def test_a_sweep_with_two_workers_loses_no_run_and_all_are_in_one_store(swept):
    held = look(swept)
    rates = sorted(run.data.params["train.lr"] for run in held.runs)
    assert documented("dvc exp run --queue -S 'train.lr").count("=0.001,0.003") == 1
    assert rates == ["0.001", "0.003"]
    assert all(run.info.status == "FINISHED" for run in held.runs)
    assert {run.info.run_name for run in held.runs} == set(swept.run("dvc exp list --name-only").stdout.split())
    assert [str(version.version) for version in held.versions] == ["1", "2"]
    assert {one.tags["vit_version"] for one in held.versions} == {VERSION}
    assert {run.data.tags["vit_version"] for run in held.runs} == {VERSION}
    assert held.aliases["champion"] in ("1", "2")
    first, second = sorted(held.versions, key=lambda version: version.tags["gate/champion"] != "none")
    assert first.tags["gate/outcome"] == "first champion" and second.tags["gate/champion"] == str(first.version)
    assert (held.aliases["champion"] == str(second.version)) is (second.tags["gate/decision"] == "promoted")
    assert json.loads(second.tags["gate/numbers"])["images"] == 40


@pytest.mark.slow
def test_a_store_that_is_away_costs_no_training_and_a_champion_of_other_images_is_run_on_these(swept):
    before = look(swept)
    uri = f"http://127.0.0.1:{free_port()}"
    failed = swept.run(f"{PARAMS_OF_OTHER_IMAGES} && dvc repro", succeeds=False, MLFLOW_TRACKING_URI=uri)
    assert stages_run(failed.stdout) == [
        "download",
        "split",
        "pack",
        "weights",
        "pretrain",
        "features",
        "train",
        "evaluate",
        "register",
    ]
    assert f"error: the MLflow store {uri} does not respond" in failed.stderr and "Traceback" not in failed.stderr
    assert json.loads(swept.read("metrics/test.json"))["majority_accuracy"] == 0.25

    assert stages_run(swept.run("dvc repro").stdout) == ["register"]
    held = look(swept)
    assert len(held.versions) == len(held.runs) == len(before.runs) + 1
    tags = held.versions[-1].tags
    assert tags["gate/champion"] == before.aliases["champion"]
    assert (held.aliases["champion"] == held.aliases["challenger"]) is (tags["gate/decision"] == "promoted")
    found = json.loads(tags["gate/numbers"])
    assert found["images"] == 40 and found["champion_accuracy"] > 0.25  # it knows these patterns, under other noise


def test_mlflow_run_against_a_server_reruns_train_and_later_only_and_publishes_there_only(swept, tmp_path):
    port = free_port()
    uri, planted = f"http://127.0.0.1:{port}", [token_hex(8) for _ in range(3)]
    server = f"{documented('mlflow ui')} --host 127.0.0.1 --port {port} --workers 1"
    server += f" --backend-store-uri sqlite:///{tmp_path}/server.db --artifacts-destination {tmp_path}/artifacts"
    local_runs = len(look(swept).runs)
    command = documented("mlflow run")
    assert "lr=3e-4" in command
    with swept.running(server, f"{uri}/health"):
        swept.run(f"dvc remote add --local store 's3://bucket/it?sig={planted[1]}'")
        with_password = uri.replace("//", f"//someone:{planted[0]}@")
        done = swept.run(f"{PARAMS} && {command}", MLFLOW_TRACKING_URI=with_password, HF_TOKEN=planted[2])
        assert stages_run(done.stdout + done.stderr) == ["pretrain", "features", "train", "evaluate", "register"]
        held = look(swept, uri)
        (run,), (version,) = held.runs, held.versions
        assert run.data.params["train.lr"] == "0.0003"
        parent = held.client.get_run(run.data.tags["mlflow.parentRunId"])
        assert parent.info.status == "FINISHED" and parent.data.params["lr"] == "3e-4"
        assert "rebuilt_from_files" not in run.data.tags and run.data.metrics["epoch_seconds"] > 0
        assert held.aliases == {"champion": str(version.version), "challenger": str(version.version)}
        assert f"see all runs: {uri}/#/experiments/{run.info.experiment_id}/runs?" in done.stdout + done.stderr
        (output,) = run.outputs.model_outputs
        assert version.source == f"models:/{output.model_id}"
        assert held.client.list_logged_model_artifacts(output.model_id, "artifacts/model")
        assert "<title>MLflow</title>" in urllib.request.urlopen(uri, timeout=10).read().decode()
    assert len(look(swept).runs) == local_runs
    swept.run("dvc remote remove --local store")
    # `mlflow run` itself prints the address that it was given, as the place of its own run in experiment 0.
    said = [line for line in (done.stdout + done.stderr).splitlines() if "/#/experiments/0" not in line]
    for secret in planted:
        assert [line for line in said if secret in line] == []
        assert _files_with(secret, tmp_path, swept.folder) == []


def _files_with(text: str, *folders: Path) -> list[Path]:
    """All files below `folders`, databases and git's objects included, that hold `text`."""
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 500
    return [path for path in files if text.encode() in path.read_bytes()]


def test_an_experiment_that_was_trained_before_is_published_under_its_name_without_training(swept):
    before = set(swept.run("dvc exp list --name-only").stdout.split())
    assert stages_run(swept.run(f"{PARAMS} && {documented('dvc exp run -S train.lr')} --name again").stdout) == [
        "register"
    ]
    assert set(swept.run("dvc exp list --name-only").stdout.split()) - before == {"again"}
    run = look(swept).runs[-1]
    assert run.data.params["train.lr"] == "0.0003"
    assert run.data.tags["dvc_exp_name"] == run.info.run_name == "again"

    header, *rows = swept.run(documented("dvc exp show") + " --csv").stdout.splitlines()
    assert {"train.lr", "best_val_accuracy", "test_accuracy"} <= set(header.split(","))
    assert len(header.split(",")) < 20
    assert "again" in "".join(rows) and "!" not in "".join(rows)


def test_going_back_trains_nothing_adds_no_version_and_leaves_the_champion(swept):
    before = look(swept)
    assert stages_run(swept.run(f"{PARAMS_OF_THE_SWEEP} && dvc repro").stdout) == ["register"]
    after = look(swept)
    assert [version.version for version in after.versions] == [version.version for version in before.versions]
    assert len(after.runs) == len(before.runs)
    assert after.aliases["champion"] == before.aliases["champion"]
    (version,) = [one for one in after.versions if str(one.version) == after.aliases["challenger"]]
    assert after.client.get_run(version.run_id).data.params["train.lr"] == "0.001"


@pytest.mark.slow
def test_a_model_learns_from_a_published_one_by_a_token_of_its_own_and_is_judged_and_published_with_it(swept):
    before = look(swept)
    command = documented("dvc exp run -S train.teacher")
    assert "-S train.teacher=models:/vit/1 -S train.distillation=hard" in command
    done = swept.run(f"{PARAMS} && {command} --name taught")
    assert stages_run(done.stdout) == ["weights", "pretrain", "features", "train", "evaluate", "register"]
    assert "hard distillation from models:/vit/1, 0.03 M parameters" in done.stderr + done.stdout

    held = look(swept)
    run = held.client.get_run(held.versions[-1].run_id)
    assert len(held.versions) == len(before.versions) + 1 and run.info.run_name == "taught"
    assert run.data.params["train.distillation"] == "hard"
    student = Classifier.load(swept.folder / "model")
    assert student.config["model"]["distilled"] and student.model.dist_token.any()
    predictions = read_table(swept.folder / "evaluation/predictions.csv")
    files = [swept.folder / "data/raw" / row["path"] for row in predictions]
    assert [answer["label"] for answer in student.classify(files)] == [row["prediction"] for row in predictions]
    assert run.data.metrics["test_accuracy"] > run.data.metrics["majority_accuracy"]
    assert "heads.png" in {path.name for path in (swept.folder / "evaluation/explain").iterdir()}


@pytest.mark.slow
def test_a_mistake_in_an_experiment_ends_in_one_line_and_leaves_no_experiment(swept):
    swept.run(PARAMS)
    before = swept.run("dvc exp list --name-only").stdout
    failed = swept.run("dvc exp run -S train.lr=-1", succeeds=False)
    (line,) = [line for line in failed.stderr.splitlines() if line.startswith("error: ")]
    assert "train.lr is -1" in line and "Traceback" not in failed.stderr
    assert swept.run("dvc exp list --name-only").stdout == before
    assert stages_run(swept.run(f"{PARAMS_OF_THE_SWEEP} && dvc repro").stdout) == ["register"]  # nothing was lost
    assert "Could not override" in swept.run("dvc exp run -S train.rate=1", succeeds=False).stderr


@pytest.mark.slow
def test_a_sweep_over_models_and_sizes_draws_the_data_hunger_curve_and_leaves_the_champion(swept):
    before = look(swept)
    sweep = documented("dvc exp run --queue -S 'model.name")
    few = sweep.replace("vit,cnn,torchvision/resnet18", "vit,cnn").replace("25,50,100,200", "10,40")
    assert few.count("=vit,cnn'") == 1 and few.count("=10,40'") == 1
    swept.run(f"{PARAMS} && {few}")
    work_through_the_queue(swept)
    held = look(swept)
    assert len(held.versions) == len(before.versions) + 4
    assert held.aliases["champion"] == before.aliases["champion"]
    runs = [held.client.get_run(version.run_id) for version in held.versions[-4:]]
    assert len({run.data.tags["test_sha256"] for run in runs}) == 1
    assert sorted(run.data.metrics["train_images"] for run in runs) == [40, 40, 160, 160]
    command = documented("vit data-hunger")
    assert "--out data_hunger.png --csv data_hunger.csv" in command
    lines = swept.run(command).stdout.splitlines()
    assert sum("minus cnn" in line for line in lines) >= 2
    rows = {(row["model"], float(row["per_class"])): row for row in read_table(swept.folder / "data_hunger.csv")}
    for run in runs:
        row = rows[run.data.params["model.name"], run.data.metrics["train_images"] / 4]
        assert float(row["accuracy"]) == pytest.approx(run.data.metrics["test_accuracy"])
        assert float(row["low"]) == pytest.approx(run.data.metrics["test_accuracy_low"])
    assert swept.read("data_hunger.csv").startswith("model,per_class,") and (swept.folder / "data_hunger.png").exists()


@pytest.mark.slow
def test_a_sweep_over_folds_gives_mean_and_spread_and_leaves_the_champion(swept):
    before = look(swept)
    sweep = documented("dvc exp run --queue -S split.folds")
    assert "split.folds=5" in sweep and "split.fold=0,1,2,3,4" in sweep
    swept.run(f"{PARAMS} && {sweep.replace('folds=5', 'folds=2').replace('0,1,2,3,4', '0,1')}")
    work_through_the_queue(swept)
    held = look(swept)
    assert len(held.versions) == len(before.versions) + 2
    assert held.aliases["champion"] == before.aliases["champion"]
    tests = [held.client.get_run(version.run_id) for version in held.versions[-2:]]
    scores = [run.data.metrics["test_accuracy"] for run in tests]
    assert {run.data.params["split.fold"] for run in tests} == {"0", "1"}
    lines = [line.split() for line in swept.run(documented("vit folds")).stdout.splitlines()]
    assert [line[0] for line in lines] == ["fold", "0", "1", "mean", "std"]
    assert float(lines[3][1]) == pytest.approx(sum(scores) / 2, abs=1e-4)
