"""Whatever is deleted or moved: one finished run and one version per content, restored without training."""

import os
import shutil
import signal
import subprocess
import time

import pytest

from tests.conftest import INSTALLED, clone, documented, free_port
from tests.presets import write_preset
from tests.store import Held, look, stages_run


def curve(held: Held) -> list[tuple[int, float]]:
    points = held.client.get_metric_history(held.runs[0].info.run_id, "val_loss")
    return [(point.step, point.value) for point in points]


def model_of(held: Held) -> tuple:
    """What a person sees of the one logged model: name, status, parameters, final metrics, versions."""
    (model,) = held.client.search_logged_models([held.runs[0].info.experiment_id])
    metrics = {(point.key, point.value, point.dataset_digest) for point in model.metrics}
    assert held.versions[0].source == f"models:/{model.model_id}" and metrics
    return model.name, model.status, model.params, metrics, model.tags["mlflow.modelVersions"]


def test_a_deleted_database_is_restored_from_files_without_training(project):
    before = look(project)
    curve_before, model_before = curve(before), model_of(before)
    for file in project.folder.glob("mlflow.db*"):
        file.unlink()
    output = project.run("dvc repro").stdout
    assert stages_run(output) == ["register"]
    after = look(project)
    assert after.aliases == {"champion": "1", "challenger": "1"}
    (old,), (new,) = before.runs, after.runs
    assert new.data.tags["content_key"] == old.data.tags["content_key"]
    assert new.info.status == "FINISHED" and "rebuilt_from_files" in new.data.tags
    assert curve(after) == curve_before and model_of(after) == model_before
    assert "epoch_seconds" not in new.data.metrics


@pytest.mark.slow
def test_a_run_that_was_deleted_in_the_ui_comes_back_and_a_lost_artifact_is_uploaded_again(project):
    held = look(project)
    run_id = held.runs[0].info.run_id
    held.client.delete_run(run_id)
    (model,) = held.client.search_logged_models([held.runs[0].info.experiment_id])
    for folder in (run_id, f"models/{model.model_id}"):
        shutil.rmtree(project.folder / "mlruns" / folder)
    project.run("dvc repro")
    after = look(project)
    assert [run.info.run_id for run in after.runs] == [run_id]
    assert [str(version.version) for version in after.versions] == ["1"]
    assert after.client.list_artifacts(run_id, "audit")
    assert after.client.list_logged_model_artifacts(model.model_id, "artifacts/model")


@pytest.mark.parametrize(
    ("stage", "was", "becomes", "message"),
    [
        ("download", "select_by:", "select_b:", "unknown key 'train.select_b'; did you mean 'train.select_by'?"),
        (
            "split",
            "group_regex: null",
            "group_regex: (x)",
            "split.group_regex '(x)' finds no group in 1797",
        ),
        ("pack", "image_size: [8, 8]", "image_size: [9, 8]", "[9, 8] is not a multiple of model.patch_size 2"),
        ("train", "num_heads: 4", "num_heads: 5", "num_heads 5 must divide embed_dim"),
        ("train", "device: auto", "device: cuda:7", "device 'cuda:7' is not available on this machine"),
        ("evaluate", "batch_size: 256", "batch_size: many", "evaluate.batch_size is 'many'"),
        ("register", "name: vit                    # the", "name: a/b  # the", "register.name is 'a/b'"),
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


def test_register_says_that_the_store_is_away(project):
    uri = f"http://127.0.0.1:{free_port()}"
    failed = project.run("python -m stages.register", succeeds=False, MLFLOW_TRACKING_URI=uri)
    assert (
        failed.stderr.startswith(f"error: the MLflow store {uri} does not respond") and failed.stderr.count("\n") == 1
    )


def test_a_repo_that_was_moved_still_serves_after_dvc_repro(project):
    project.folder = project.folder.rename(project.folder.with_name("moved to here"))
    assert stages_run(project.run("dvc repro").stdout) == ["register"]
    load = "import mlflow.pyfunc; print(mlflow.pyfunc.load_model('models:/vit@champion').metadata.signature.inputs)"
    assert "image" in project.run(f'python -c "{load}"').stdout
    (run,) = look(project).runs
    assert run.info.artifact_uri.startswith(project.folder.as_uri())


@pytest.mark.slow
def test_the_whole_pipeline_runs_in_a_folder_whose_name_means_something_else_in_a_uri(tmp_path):
    project = clone(tmp_path / """#1 of 100%41? "it's" süß 🐭 + a&b""")
    write_preset(project.folder / "params.yaml", "shapes", {"train.epochs": 1, "data.shapes_per_class": 40})
    done = project.run("dvc repro")
    said = done.stdout + done.stderr
    assert "`dvc exp run --queue` and `--temp` and `mlflow models serve` will fail in this folder" in said
    held = look(project)
    assert held.aliases == {"champion": "1", "challenger": "1"} and held.runs[0].info.status == "FINISHED"
    assert "diagonal_gradient" in project.run("vit predict data/raw/diagonal_gradient/0001.png").stdout
    assert [path.name for path in tmp_path.iterdir()] == [project.folder.name]


@pytest.mark.slow
def test_make_clean_keeps_what_is_in_use(project):
    project.run(f"{documented('make clean')} {INSTALLED}")
    assert not (project.folder / "logs").exists()
    assert project.run("dvc status").stdout.split() == ["register:", "always", "changed"]
    assert stages_run(project.run("dvc repro").stdout) == ["register"]
    assert look(project).aliases == {"champion": "1", "challenger": "1"}


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "was", "becomes"),
    [("split", "block_size: 150", "block_size: 151"), ("pack", "trim_bars: false", "trim_bars: true")],
)
@pytest.mark.parametrize("seconds", [0.2, 0.6, 1.0])
def test_a_repro_that_was_killed_in_a_stage_is_made_good_by_the_next_one(project, stage, was, becomes, seconds):
    listed = "find data metrics -type f -not -path '*/.*' | sort | xargs sha256sum"
    before = project.run(listed).stdout
    text = project.read("params.yaml")
    (project.folder / "params.yaml").write_text(text.replace(was, becomes))
    repro = subprocess.Popen(
        ["dvc", "repro", stage],
        cwd=project.folder,
        env=project.env,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    for line in repro.stdout:
        if line.startswith(f"> python -m stages.{stage}"):
            break
    time.sleep(seconds)
    os.killpg(repro.pid, signal.SIGKILL)
    repro.wait()
    (project.folder / "params.yaml").write_text(text)
    assert "train" not in stages_run(project.run("dvc repro").stdout)
    assert project.run(listed).stdout == before
