"""From a registered model back to what made it: an experiment whose parameters are in no commit, two commits ago."""

import json
import shutil
import signal
import subprocess

import pytest

from tests.conftest import INSTALLED, Project, documented
from tests.store import look

MODEL = "models:/vit/1"


def of_version_1(command: str) -> str:
    assert command.count("models:/vit@champion") == 1
    return command.replace("models:/vit@champion", MODEL)


@pytest.fixture(scope="module")
def later(swept) -> Project:
    """The clone of the sweep after two more commits, one of parameters and one of code, with work under way."""
    held = look(swept)
    experiment = held.client.get_run(held.versions[0].run_id).info.run_name
    swept.run(f"git checkout -q . && dvc exp apply {experiment}")
    swept.run("sed -i 's/^  lr: .*/  lr: 0.004/' params.yaml")
    swept.run("git commit -qam 'another rate' && echo '# a comment' >> vit/models/stems.py && git commit -qam comment")
    swept.run("echo 'broken(' >> vit/inference/classifier.py && echo 'x = 1' > vit/new.py && git add vit/new.py")
    yield swept
    swept.run("git rm -qf vit/new.py && git checkout -q vit")


def what_is_the_users(project: Project) -> dict[str, object]:
    """All that a look at the past must leave alone."""
    listed = (
        "git status --porcelain; git rev-parse HEAD; git branch; git worktree list; git stash list; ls -A . .dvc/tmp"
    )
    return {
        "shown": project.run(listed).stdout,
        "index": (project.folder / ".git/index").read_bytes(),
        "cache": project.run("find .dvc/cache -type f | sort").stdout,
        "runs": [(run.info.run_id, run.data.tags) for run in look(project).runs],
        "versions": [(version.version, version.tags) for version in look(project).versions],
    }


def test_trace_names_commit_experiment_data_parameters_machine_and_scores(later):
    traced = json.loads(later.run(of_version_1(documented("vit registry trace")) + " --json").stdout)
    held = look(later)
    version, (run,) = held.versions[0], [run for run in held.runs if run.info.run_id == held.versions[0].run_id]
    assert traced["code"]["commit"] == later.run("git rev-parse HEAD~2").stdout.strip()
    assert traced["code"]["dirty"] is True and traced["code"]["changed_files"] == 1  # params.yaml, by -S
    assert traced["experiment"]["name"] == run.info.run_name == traced["model"]["run"]
    assert traced["experiment"]["baseline"] == traced["code"]["commit"]
    assert traced["params"]["train.lr"] == float(run.data.params["train.lr"]) != 0.004
    assert traced["data"]["sha256"].startswith(run.inputs.dataset_inputs[0].dataset.digest)
    assert traced["data"]["val_sha256"] == version.tags["val_sha256"]
    assert traced["md5"]["data/packed"] == run.data.tags["md5/data/packed"]
    assert traced["metrics"]["test_accuracy"] == run.data.metrics["test_accuracy"]
    assert traced["environment"]["device"] == "cpu"
    installed = "import json, platform, torch, mlflow, dvc; print(json.dumps([platform.python_version(), "
    installed += "torch.__version__, mlflow.__version__, dvc.__version__]))"
    python, *versions = json.loads(later.run(f"python -c '{installed}'").stdout)
    names = ("torch", "mlflow", "dvc")
    assert traced["environment"]["python"] == python
    assert [traced["environment"][name] for name in names] == [version.split("+")[0] for version in versions]


def test_trace_prints_the_same_for_a_person(later):
    lines = later.run(of_version_1(documented("vit registry trace"))).stdout.splitlines()
    commit = later.run("git rev-parse HEAD~2").stdout.strip()
    assert [line for line in lines if not line.startswith(" ")] == [
        *("model", "code", "experiment", "data", "md5", "params", "environment", "metrics")
    ]
    assert ["commit", commit] in [line.split() for line in lines]
    assert ["train.threads", "1"] in [line.split() for line in lines]


def test_verify_rebuilds_the_state_evaluates_the_published_weights_and_touches_nothing_of_the_users(later):
    before = what_is_the_users(later)
    said = later.run(of_version_1(documented("vit registry verify"))).stdout.splitlines()
    assert [line.split()[0] for line in said] == ["model", "commit", "code", "data", "predictions", "verified:"]
    assert "the DVC cache" in said[3] and "all 80 labels are equal" in said[4]
    assert said[-1] == "verified: the rebuilt state of version 1 of 'vit' gives its published predictions"
    assert what_is_the_users(later) == before


def test_verify_prints_one_object_for_a_program_and_its_steps_on_stderr(later):
    done = later.run(f"vit registry verify {MODEL} --json")
    assert json.loads(done.stdout) == {
        "model": MODEL,
        "version": 1,
        "retrained": False,
        "verified": True,
        "reason": None,
        "predictions": 80,
        "largest_difference": pytest.approx(0, abs=1e-5),
    }
    assert [line.split()[0] for line in done.stderr.splitlines()] == ["model", "commit", "code", "data", "predictions"]


def test_an_interrupted_verify_leaves_no_worktree_and_no_process(later):
    before = what_is_the_users(later)
    verify = subprocess.Popen(
        ["vit", "registry", "verify", MODEL],
        cwd=later.folder,
        env=later.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in verify.stdout:
        if line.startswith("data"):  # now it evaluates
            break
    assert ".verify." in later.run("git worktree list").stdout
    verify.send_signal(signal.SIGINT)
    _, errors = verify.communicate(timeout=30)
    assert verify.returncode == 130
    assert errors == "interrupted: nothing was verified; the temporary worktree was removed\n"
    assert what_is_the_users(later) == before
    assert str(later.folder / ".dvc/tmp/.verify") not in later.run("ps -eo args").stdout


def test_weights_that_are_not_the_published_ones_are_named_before_anything_is_evaluated(later):
    held = look(later)
    source = held.client.get_model_version_download_uri("vit", "1").removeprefix("file://")
    weights = later.folder / source / "artifacts/model/model.safetensors"
    kept = weights.read_bytes()
    weights.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
    try:
        failed = later.run(f"vit registry verify {MODEL}", succeeds=False)
        as_json = later.run(f"vit registry verify {MODEL} --json", succeeds=False)
    finally:
        weights.write_bytes(kept)
    reason = "version 1 of 'vit' is not verified: its weights in MLflow are not the published ones"
    assert failed.stderr == as_json.stderr == f"error: {reason}\n"
    assert json.loads(as_json.stdout) == {
        "model": MODEL,
        "version": 1,
        "retrained": False,
        "verified": False,
        "reason": reason,
        "predictions": None,
        "largest_difference": None,
    }


@pytest.mark.parametrize(
    ("uri", "message"),
    [("models:/vit@nobody", "no model 'models:/vit@nobody' in the registry"), ("model", "'model' is not a registered")],
)
def test_a_model_that_is_not_there_ends_in_one_line(later, uri, message):
    failed = later.run(f"vit registry trace {uri}", succeeds=False)
    assert failed.stderr.startswith(f"error: {message}") and failed.stderr.count("\n") == 1


def test_after_make_push_a_lost_cache_comes_back_by_verify_and_by_make_pull(later):
    add = documented("dvc remote add --default backup")
    assert add.endswith(" /mnt/backup/vit")
    later.run(f"{add.removesuffix('/mnt/backup/vit')} ../backup")
    later.run(f"{documented('make push')} {INSTALLED}")
    shutil.rmtree(later.folder / ".dvc/cache")
    said = later.run(f"vit registry verify {MODEL}").stdout
    assert "from the DVC remote" in said and "verified: " in said

    shutil.rmtree(later.folder / ".dvc/cache")
    shutil.rmtree(later.folder / "data")
    later.run(f"{documented('make pull')} {INSTALLED}")
    assert (later.folder / "data/packed/train_images.npy").exists()
    assert list((later.folder / ".dvc/cache/runs").iterdir())


@pytest.mark.slow
def test_training_again_in_the_rebuilt_state_gives_the_same_bytes(later):
    before = what_is_the_users(later)
    said = later.run(f"{of_version_1(documented('vit registry verify'))} --retrain").stdout
    assert "equal byte for byte" in said
    assert said.endswith("gives its published predictions, and retraining there gives its weights\n")
    assert what_is_the_users(later) == before


@pytest.mark.slow
def test_other_predictions_than_the_published_ones_end_in_one_line(later):
    (predictions,) = (later.folder / "mlruns").rglob(
        f"provenance/{look(later).versions[0].tags['version_key'][:12]}/*.csv"
    )
    kept = predictions.read_text()
    rows = kept.splitlines()
    columns, changed = rows[0].split(","), rows[5].split(",")
    path, at = changed[columns.index("path")], columns.index("prediction")
    other = next(name.removeprefix("p_") for name in columns if name.startswith("p_") and name != f"p_{changed[at]}")
    changed[at] = other
    rows[5] = ",".join(changed)
    predictions.write_text("\n".join(rows) + "\n")
    try:
        failed = later.run(f"vit registry verify {MODEL}", succeeds=False)
    finally:
        predictions.write_text(kept)
    assert failed.stderr.startswith(f"error: version 1 of 'vit' is not verified: {path} was {other}")
    assert failed.stderr.count("\n") == 1
