"""Whatever happens to parameters, store and folder: one finished run and one version per content."""

import json
import shutil

import pytest

from tests.conftest import free_port, from_readme
from tests.pipeline.store import look

TO_SHAPES = "cp presets/shapes.yaml params.yaml"


def stages_run(output: str) -> list[str]:
    return [line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")]


def test_a_deleted_database_is_restored_from_files_without_training(project):
    before = look(project)
    for file in project.folder.glob("mlflow.db*"):
        file.unlink()
    output = project.run("dvc repro").stdout
    assert stages_run(output) == ["register"]
    after = look(project)
    assert [run.data.tags["content_key"] for run in after.runs] == [before.runs[0].data.tags["content_key"]]
    assert after.aliases == {"champion": "1", "challenger": "1"}
    (old,), (new,) = before.runs, after.runs
    assert new.info.status == "FINISHED" and "rebuilt_from_files" in new.data.tags
    curves = [
        [(point.step, point.value) for point in held.client.get_metric_history(run.info.run_id, "val_loss")]
        for held, run in ((before, old), (after, new))
    ]
    assert curves[0] == curves[1]
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
    project.run(f"mlflow gc --backend-store-uri sqlite:///mlflow.db --run-ids {run_id}")
    project.run("dvc repro")
    after = look(project)
    (run,), (version,) = after.runs, after.versions
    assert run.info.run_id != run_id and version.run_id == run.info.run_id
    assert after.aliases == {"champion": str(version.version), "challenger": str(version.version)}


def test_other_data_make_a_challenger_and_the_champion_of_other_images_stays(project):
    champion = look(project).aliases["champion"]
    output = project.run(f"{from_readme('cp presets/shapes.yaml')} && dvc repro").stdout
    assert stages_run(output) == ["download", "split", "pack", "train", "evaluate", "register"]
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


def test_mlflow_run_passes_its_parameter_on_and_is_the_parent_of_the_run(project):
    project.run(TO_SHAPES)
    command = from_readme("mlflow run")
    assert "lr=3e-4" in command
    project.run(command.replace("lr=3e-4", "lr=6e-4"))
    held = look(project)
    assert held.runs[-1].data.params["train.lr"] == "0.0006"
    parent = held.client.get_run(held.runs[-1].data.tags["mlflow.parentRunId"])
    assert parent.info.status == "FINISHED" and parent.data.params["lr"] == "6e-4"


def test_going_back_trains_nothing_adds_no_version_and_leaves_the_champion(project):
    before = look(project)
    output = project.run("git checkout params.yaml && dvc repro").stdout
    assert "Running stage 'train'" not in output and "is champion" in output
    after = look(project)
    assert [version.version for version in after.versions] == [version.version for version in before.versions]
    assert len(after.runs) == len(before.runs)
    assert after.aliases["champion"] == before.aliases["champion"] == after.aliases["challenger"]


def test_with_a_tracking_uri_everything_goes_to_that_server_instead(project, tmp_path):
    port = free_port()
    uri = f"http://127.0.0.1:{port}"
    server = f"mlflow server --host 127.0.0.1 --port {port} --workers 1"
    server += f" --backend-store-uri sqlite:///{tmp_path}/server.db --artifacts-destination {tmp_path}/artifacts"
    local_runs = len(look(project).runs)
    with project.running(server, f"{uri}/health"):
        project.run(f"{TO_SHAPES} && dvc exp run -S train.seed=7", MLFLOW_TRACKING_URI=uri)
        held = look(project, uri)
        (run,), (version,) = held.runs, held.versions
        assert "rebuilt_from_files" not in run.data.tags and run.data.metrics["epoch_seconds"] > 0
        assert held.aliases == {"champion": str(version.version), "challenger": str(version.version)}
        image = "data/raw/checkerboard/0000.png"
        printed = project.run(f"python -m vit.predict {image}", MLFLOW_TRACKING_URI=uri).stdout
        assert printed.startswith(f"{image}: ")
    assert len(look(project).runs) == local_runs


def test_a_store_that_is_away_costs_no_training_and_register_says_so(project):
    uri = f"http://127.0.0.1:{free_port()}"
    project.run(TO_SHAPES)
    failed = project.run("dvc exp run -S train.seed=8", succeeds=False, MLFLOW_TRACKING_URI=uri)
    assert f"error: the MLflow store {uri} does not answer" in failed.stderr
    assert json.loads(project.read("metrics/test.json"))["test_accuracy"] > 0.25
    output = project.run("dvc repro").stdout
    assert "Running stage 'train'" not in output and "published: run" in output


def test_a_repo_that_was_moved_still_serves_after_dvc_repro(project):
    project.run("dvc repro")
    old = project.folder
    project.folder = old.with_name("moved to here")
    old.rename(project.folder)
    try:
        output = project.run("dvc repro").stdout
        assert stages_run(output) == ["register"]
        load = "import mlflow.pyfunc; print(mlflow.pyfunc.load_model('models:/vit@champion').metadata.signature.inputs)"
        assert "image" in project.run(f'python -c "{load}"').stdout
        uris = [run.info.artifact_uri for run in look(project).runs]
        assert all(uri.startswith(project.folder.as_uri()) for uri in uris)
    finally:
        project.folder.rename(old)
        project.folder = old
        project.run("dvc repro")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("-S train.lr=-1", "train.lr is -1"),
        ("-S model.num_heads=5", "num_heads 5 must divide embed_dim"),
        ("-S pack.image_size=[9,8]", "is not a multiple of model.patch_size 2"),
        ("-S train.device=cuda:7", "device 'cuda:7' is not on this machine"),
        ("-S split.val_fraction=0.5 -S split.test_fraction=0.499 -S split.subset_per_class=3", "too few"),
        ("-S data.source=folder -S data.path=nowhere", "nowhere: no such folder or archive"),
    ],
)
def test_a_mistake_in_a_parameter_ends_in_one_line_and_costs_nothing(project, change, message):
    project.run(TO_SHAPES)
    before = project.run("git rev-parse HEAD && dvc exp list --name-only").stdout
    failed = project.run(f"dvc exp run {change}", succeeds=False)
    (line,) = [line for line in failed.stderr.splitlines() if line.startswith("error: ")]
    assert message in line
    assert "Traceback" not in failed.stderr
    assert project.run("git rev-parse HEAD && dvc exp list --name-only").stdout == before


def test_an_unknown_key_is_refused_by_dvc_and_in_the_file(project):
    assert "Could not override" in project.run("dvc exp run -S train.learning_rate=1", succeeds=False).stderr
    project.run("sed -i 's/^  epochs:/  epoch:/' params.yaml")
    failed = project.run("dvc repro", succeeds=False)
    assert "unknown key 'train.epoch', nearest is 'train.epochs'" in failed.stderr
