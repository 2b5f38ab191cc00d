"""Whatever happens to parameters, store and folder: one finished run and one version per content."""

import json
import shutil

import pytest

from tests.conftest import free_port, from_readme
from tests.pipeline.store import Held, look

TO_SHAPES = "cp presets/shapes.yaml params.yaml"


def stages_run(output: str) -> list[str]:
    return [line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")]


def curve(held: Held) -> list[tuple[int, float]]:
    points = held.client.get_metric_history(held.runs[0].info.run_id, "val_loss")
    return [(point.step, point.value) for point in points]


def test_a_deleted_database_is_restored_from_files_without_training(project):
    before = look(project)
    curve_before = curve(before)
    for file in project.folder.glob("mlflow.db*"):
        file.unlink()
    output = project.run("dvc repro").stdout
    assert stages_run(output) == ["register"]
    after = look(project)
    assert after.aliases == {"champion": "1", "challenger": "1"}
    (old,), (new,) = before.runs, after.runs
    assert new.data.tags["content_key"] == old.data.tags["content_key"]
    assert new.info.status == "FINISHED" and "rebuilt_from_files" in new.data.tags
    assert curve(after) == curve_before
    assert "epoch_seconds" not in new.data.metrics


def test_a_run_that_was_deleted_in_the_ui_comes_back_and_a_lost_artifact_is_uploaded_again(project):
    held = look(project)
    run_id = held.runs[0].info.run_id
    held.client.delete_run(run_id)
    shutil.rmtree(project.folder / "mlruns" / run_id)
    project.run("dvc repro")
    after = look(project)
    assert [run.info.run_id for run in after.runs] == [run_id]
    assert [str(version.version) for version in after.versions] == ["1"]
    assert after.client.list_artifacts(run_id, "model/artifacts/model")


def test_a_version_whose_run_is_gone_for_good_is_replaced_with_its_aliases(project):
    held = look(project)
    run_id = held.runs[0].info.run_id
    held.client.delete_run(run_id)
    database = "sqlite:///mlflow.db"
    project.run(f"mlflow gc --backend-store-uri {database} --tracking-uri {database} --run-ids {run_id}")
    project.run("dvc repro")
    after = look(project)
    (run,), (version,) = after.runs, after.versions
    assert run.info.run_id != run_id and version.run_id == run.info.run_id
    assert after.aliases == {"champion": str(version.version), "challenger": str(version.version)}


def test_a_store_that_is_away_costs_no_training_and_other_images_do_not_move_the_champion(project):
    champion = look(project).aliases["champion"]
    uri = f"http://127.0.0.1:{free_port()}"
    failed = project.run(
        f"{from_readme('cp presets/shapes.yaml')} && dvc repro", succeeds=False, MLFLOW_TRACKING_URI=uri
    )
    assert stages_run(failed.stdout) == ["download", "split", "pack", "train", "evaluate", "register"]
    assert f"error: the MLflow store {uri} does not answer" in failed.stderr and "Traceback" not in failed.stderr
    assert json.loads(project.read("metrics/test.json"))["majority_accuracy"] == 0.25

    project.run(TO_SHAPES)
    assert stages_run(project.run("dvc repro").stdout) == ["register"]
    held = look(project)
    assert len(held.versions) == len(held.runs) == 2
    assert held.aliases["champion"] == champion != held.aliases["challenger"]
    assert "not validated on the same images" in held.versions[-1].tags[f"against_{champion}"]


def test_changing_the_learning_rate_reruns_train_and_later_only(project):
    project.run(TO_SHAPES)
    output = project.run(from_readme("dvc exp run -S train.lr")).stdout
    assert stages_run(output) == ["train", "evaluate", "register"]
    held = look(project)
    experiment = project.run("dvc exp list --name-only").stdout.split()
    assert held.runs[-1].info.run_name in experiment
    assert held.runs[-1].data.params["train.lr"] == "0.0003"
    assert held.runs[-1].data.tags["dvc_exp_name"] == held.runs[-1].info.run_name

    header, *rows = project.run(from_readme("dvc exp show") + " --csv").stdout.splitlines()
    assert {"train.lr", "best_val_accuracy", "test_accuracy"} <= set(header.split(","))
    assert experiment[0] in "".join(rows) and "!" not in "".join(rows)


def test_going_back_trains_nothing_adds_no_version_and_leaves_the_champion(project):
    before = look(project)
    output = project.run("git checkout params.yaml && dvc repro").stdout
    assert "Running stage 'train'" not in output and "is champion" in output
    after = look(project)
    assert [version.version for version in after.versions] == [version.version for version in before.versions]
    assert len(after.runs) == len(before.runs)
    assert after.aliases["champion"] == before.aliases["champion"] == after.aliases["challenger"]


def test_mlflow_run_against_a_server_trains_with_its_parameter_and_publishes_there_only(project, tmp_path):
    port = free_port()
    uri = f"http://127.0.0.1:{port}"
    server = f"mlflow server --host 127.0.0.1 --port {port} --workers 1"
    server += f" --backend-store-uri sqlite:///{tmp_path}/server.db --artifacts-destination {tmp_path}/artifacts"
    local_runs = len(look(project).runs)
    command = from_readme("mlflow run")
    assert "lr=3e-4" in command
    with project.running(server, f"{uri}/health"):
        project.run(f"{TO_SHAPES} && {command.replace('lr=3e-4', 'lr=6e-4')}", MLFLOW_TRACKING_URI=uri)
        held = look(project, uri)
        (run,), (version,) = held.runs, held.versions
        assert run.data.params["train.lr"] == "0.0006"
        parent = held.client.get_run(run.data.tags["mlflow.parentRunId"])
        assert parent.info.status == "FINISHED" and parent.data.params["lr"] == "6e-4"
        assert "rebuilt_from_files" not in run.data.tags and run.data.metrics["epoch_seconds"] > 0
        assert held.aliases == {"champion": str(version.version), "challenger": str(version.version)}
        image = "data/raw/checkerboard/0000.png"
        printed = project.run(f"python -m vit.predict {image}", MLFLOW_TRACKING_URI=uri).stdout
        assert printed.startswith(f"{image}: ")
    assert len(look(project).runs) == local_runs


def test_a_mistake_in_an_experiment_ends_in_one_line_and_leaves_no_experiment(project):
    project.run(TO_SHAPES)
    before = project.run("dvc exp list --name-only").stdout
    failed = project.run("dvc exp run -S train.lr=-1", succeeds=False)
    (line,) = [line for line in failed.stderr.splitlines() if line.startswith("error: ")]
    assert "train.lr is -1" in line and "Traceback" not in failed.stderr
    assert project.run("dvc exp list --name-only").stdout == before
    assert "Could not override" in project.run("dvc exp run -S train.rate=1", succeeds=False).stderr


@pytest.mark.parametrize(
    ("stage", "was", "becomes", "message"),
    [
        ("download", "epochs:", "epoch:", "unknown key 'train.epoch', nearest is 'train.epochs'"),
        (
            "split",
            "test_fraction: 0.2",
            "test_fraction: 0.8999",
            "too few for val_fraction 0.1 and test_fraction 0.8999",
        ),
        ("pack", "image_size: [8, 8]", "image_size: [9, 8]", "[9, 8] is not a multiple of model.patch_size 2"),
        ("train", "num_heads: 4", "num_heads: 5", "num_heads 5 must divide embed_dim"),
        ("train", "device: auto", "device: cuda:7", "device 'cuda:7' is not on this machine"),
        ("evaluate", "batch_size: 256", "batch_size: many", "evaluate.batch_size is 'many'"),
        ("register", "name: vit", "name: a/b", "register.name is 'a/b'"),
    ],
)
def test_a_mistake_in_params_ends_every_stage_in_one_line_and_costs_nothing(project, stage, was, becomes, message):
    text = project.read("params.yaml")
    assert text.count(was) >= 1
    outputs = project.run("find data model training evaluation metrics -type f | sort | xargs sha256sum").stdout
    (project.folder / "params.yaml").write_text(text.replace(was, becomes))
    failed = project.run(f"python -m stages.{stage}", succeeds=False)
    assert failed.stderr.startswith("error: ") and failed.stderr.count("\n") == 1
    assert message in failed.stderr
    assert project.run("find data model training evaluation metrics -type f | sort | xargs sha256sum").stdout == outputs


def test_a_repo_that_was_moved_still_serves_after_dvc_repro(project):
    project.run("git checkout params.yaml && dvc repro")
    project.folder = project.folder.rename(project.folder.with_name("moved to here"))
    assert stages_run(project.run("dvc repro").stdout) == ["register"]
    load = "import mlflow.pyfunc; print(mlflow.pyfunc.load_model('models:/vit@champion').metadata.signature.inputs)"
    assert "image" in project.run(f'python -c "{load}"').stdout
    uris = [run.info.artifact_uri for run in look(project).runs]
    assert all(uri.startswith(project.folder.as_uri()) for uri in uris)
