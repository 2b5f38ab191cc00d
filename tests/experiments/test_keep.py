"""`vit keep` on a clone with a champion: new images are trained once, whatever happens, and the user's files stay."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.conftest import Project, documented, free_port
from tests.presets import write_preset
from tests.store import look
from vit.config.schema import DataParams
from vit.data.sources.shapes import fetch_shapes
from vit.files import read_json
from vit.registry.tags import COMPARED

QUICK = {"data.source": "folder", "train.epochs": 2, "train.warmup_epochs": 1, "train.threads": 1}
QUICK |= {"evaluate.explain_images": 0, "evaluate.svc_baseline": False, "evaluate.invariance": []}
QUICK |= {"evaluate.slices": ["label"], "register.min_images": 10}
KEEP = "vit keep"


def draw(folder: Path, per_class: int, seed: int) -> None:
    """New images in class folders, named by seed, beside those that are there."""
    drawn = folder.with_name(f"drawn{seed}")
    fetch_shapes(DataParams(source="shapes", shapes_per_class=per_class, seed=seed), drawn, drawn)
    for file in sorted(drawn.rglob("*.png")):
        target = folder / file.parent.name / f"{seed}_{file.name}"
        target.parent.mkdir(parents=True, exist_ok=True)
        file.rename(target)
    shutil.rmtree(drawn)


def copy_of(project: Project, folder: Path, images: int = 30) -> Project:
    """A copy of a clone, with images of its own and the parameters for them committed."""
    shutil.copytree(project.folder, folder, symlinks=True)
    copied = Project(folder, project.env)
    copied.run("git checkout -q .")
    write_preset(folder / "params.yaml", "shapes", QUICK)
    copied.run("git commit -qam 'own images'")
    if images:
        draw(folder / "images", images, seed=5)
    return copied


@pytest.fixture
def project(swept, tmp_path) -> Project:
    return copy_of(swept, tmp_path / "project")


def what_is_the_users(project: Project) -> dict[str, object]:
    listed = "git status --porcelain; git rev-parse HEAD; git branch; git stash list; git worktree list; cat dvc.lock"
    files = [path for path in (project.folder / "images").rglob("*") if path.is_file()]
    return {"shown": project.run(listed).stdout, "images": {str(path): path.stat().st_mtime_ns for path in files}}


def test_new_images_are_trained_in_a_worktree_judged_and_reported_once(project):
    before, users = look(project), what_is_the_users(project)
    (project.folder / "vit/cli/new.py").write_text("broken(")  # an edit that somebody is in the middle of
    said = project.run(f"{documented('vit keep')} --json")
    done = json.loads(said.stdout)
    assert done["outcome"] == "trained" and "Running stage 'train'" in said.stderr
    held = look(project)
    assert len(held.versions) == len(before.versions) + 1 and len(held.runs) == len(before.runs) + 1
    version = held.versions[-1]
    assert version.tags["gate/champion"] == before.aliases["champion"]
    assert json.loads(version.tags["gate/numbers"])["images"] >= 10
    assert held.aliases["challenger"] == str(version.version)
    run = held.client.get_run(version.run_id)
    assert run.info.run_name == done["experiment"] in project.run("dvc exp list --name-only").stdout
    assert "git_dirty" in run.data.tags and run.data.params["data.path"] == str(project.folder / "images")

    changed = project.run(f"dvc exp branch {done['experiment']} b && git diff --stat HEAD b && git branch -qD b").stdout
    assert {line.split()[0] for line in changed.splitlines() if "|" in line} == {
        *("dvc.lock", "params.yaml", "metrics/split.json", "metrics/test.json", "metrics/train.json")
    }
    (project.folder / "vit/cli/new.py").unlink()
    assert what_is_the_users(project) == users
    report = project.read(".vit/keep/report.md")
    assert f"Since version {before.aliases['champion']}: 120 images added" in report
    assert version.tags["gate/outcome"] in report and "accuracy |" in report and "`checkerboard`" in report
    page = project.read(".vit/keep/report.html")
    assert page.count("data:image/png;base64,") == 2
    published = {file.path for file in held.client.list_artifacts(run.info.run_id, "keep")}
    assert published == {"keep/report.md", "keep/report.html"}

    again = project.run(KEEP)
    expected = f"nothing changed since version {version.version} of 'vit' (120 files in images)\n"
    assert (again.stdout, again.stderr) == (expected, "")
    assert len(look(project).versions) == len(held.versions)


class Keeper:
    """A `vit keep` that runs, and may be killed with all that it started."""

    def __init__(self, project: Project, **env: str):
        self.project = project
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            ["vit", "keep", "--now"],
            cwd=project.folder,
            env=project.env | env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def until(self, happened: Callable[[], bool], patience: float = 240) -> bool:
        """Wait until something happened; False if the turn ended before."""
        give_up = time.monotonic() + patience
        while not happened():
            assert time.monotonic() < give_up
            if self.process.poll() is not None:
                return False
            time.sleep(0.01)
        return True

    def kill(self) -> None:
        """At once, as a machine that loses its power."""
        here = [self.process.pid]
        for process in psutil.process_iter():
            try:
                if Path(process.cwd()).is_relative_to(self.project.folder):
                    here.append(process.pid)
            except (psutil.Error, OSError):
                continue
        for pid in here:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait()
        self.process.stdout.close()

    def ended(self) -> str:
        said, _ = self.process.communicate(timeout=240)
        assert self.process.returncode == 0, said
        return said


def output(project: Project) -> str:
    file = project.folder / ".vit/keep/training/output.txt"
    return file.read_text(errors="replace") if file.is_file() else ""


def looks(project: Project) -> int:
    """How many comparisons are counted."""
    tags = look(project).client.get_registered_model("vit").tags
    return sum(tag.startswith(COMPARED) for tag in tags)


MOMENTS: dict[str, Callable[[Project], bool]] = {
    "before the worktree": lambda project: (project.folder / ".vit/keep/files.json").is_file(),
    "in the worktree": lambda project: (project.folder / ".dvc/tmp/keep/tree/dvc.yaml").is_file(),
    **{
        stage: lambda project, stage=stage: f"Running stage '{stage}'" in output(project)
        for stage in ("download", "split", "pack", "train", "evaluate", "register")
    },
    "after a checkpoint": lambda project: any((project.folder / "checkpoints").rglob("*.pt")),
    "published": lambda project: "run 'keep-" in output(project),
    "reported": lambda project: (project.folder / ".vit/keep/report.md").is_file(),
}


@pytest.mark.slow
def test_a_turn_that_is_killed_anywhere_and_repeated_does_the_work_once(swept, tmp_path):
    project = copy_of(swept, tmp_path / "project")
    before, users, looked = look(project), what_is_the_users(project), looks(project)
    killed = []
    for moment, happened in MOMENTS.items():
        keeper = Keeper(project)
        if keeper.until(lambda happened=happened: happened(project)):
            keeper.kill()
            killed.append(moment)
        else:
            keeper.ended()
            break
        users_now = what_is_the_users(project)
        assert {**users_now, "shown": ""} == {**users, "shown": ""}
        shutil.rmtree(project.folder / ".vit/keep/training", ignore_errors=True)
    assert {"download", "train", "register"} <= set(killed)
    project.run(f"{KEEP} --now")
    held = look(project)
    assert len(held.versions) == len(before.versions) + 1 and len(held.runs) == len(before.runs) + 1
    assert all(run.info.status == "FINISHED" for run in held.runs)
    assert what_is_the_users(project) == users
    assert "nothing changed" in project.run(KEEP).stdout
    assert looks(project) == looked + 1


@pytest.mark.slow
def test_a_second_keeper_leaves_and_one_that_is_asked_to_stop_goes_on_the_next_time(swept, tmp_path):
    project = copy_of(swept, tmp_path / "project")
    keeper = Keeper(project)
    assert keeper.until(lambda: "Running stage 'train'" in output(project))
    second = project.run(KEEP)
    assert second.stdout == "another `vit keep` is at work in this project, and does what there is to do\n"
    keeper.process.send_signal(signal.SIGTERM)
    said, _ = keeper.process.communicate(timeout=60)
    assert keeper.process.returncode == 130
    assert said.endswith("the training stopped at a checkpoint; the next `vit keep` goes on from there\n")
    assert project.run(documented("vit keep --status")).stdout == "last training: none yet\n"  # it did not fail
    assert "version" in project.run(KEEP).stdout


@pytest.mark.slow
def test_the_training_of_a_killed_keeper_goes_on_and_the_next_one_waits_for_it(swept, tmp_path):
    project = copy_of(swept, tmp_path / "project")
    keeper = Keeper(project)
    assert keeper.until(lambda: "Running stage 'pack'" in output(project))
    os.kill(keeper.process.pid, signal.SIGKILL)
    keeper.process.communicate()
    said = project.run(f"faketime -f -1h {KEEP}" if shutil.which("faketime") else KEEP).stdout
    assert "the training of an earlier `vit keep`, which was killed, still runs" in said
    versions = len(look(project).versions)
    for _ in range(600):
        if "still runs" not in project.run(KEEP).stdout:
            break
        time.sleep(0.2)
    assert len(look(project).versions) == versions + 1
    assert "nothing changed" in project.run(KEEP).stdout


@pytest.mark.slow
def test_a_registry_that_is_gone_is_told_waited_for_and_an_alarm_ends_with_the_next_success(swept, tmp_path):
    project = copy_of(swept, tmp_path / "project")
    uri = f"http://127.0.0.1:{free_port()}"
    failed = project.run(KEEP, succeeds=False, MLFLOW_TRACKING_URI=uri)
    assert failed.stderr.startswith(f"error: the MLflow store {uri} does not respond (")
    assert failed.stderr.count("\n") == 1 and "Running stage" not in output(project)
    waiting = project.run(KEEP, MLFLOW_TRACKING_URI=uri).stdout
    assert "the last turn failed (the MLflow store" in waiting and "the next try is in 5 min" in waiting
    state = json.loads(project.run(f"{KEEP} --status --json").stdout)
    assert state["failure"]["count"] == 1 and uri in state["failure"]["error"]

    images, elsewhere = project.folder / "images", project.folder / "elsewhere"
    images.rename(elsewhere)
    shutil.copytree(elsewhere / "checkerboard", images / "checkerboard")  # a single class cannot be learned
    failed = project.run(KEEP, succeeds=False)
    assert failed.stderr.splitlines()[-1].startswith("error: the training failed: ")
    champion = look(project).aliases["champion"]
    alarm = look(project).client.get_model_version("vit", champion).tags["alarm/keep"]
    assert alarm.startswith("a turn of vit keep failed: the training failed: ")
    shutil.rmtree(images)
    elsewhere.rename(images)
    project.run(f"{KEEP} --now")
    assert not any("alarm/keep" in version.tags for version in look(project).versions)
    assert read_json(project.folder / ".vit/keep/state.json")["failure"] is None


@pytest.mark.slow
def test_images_that_dvc_imports_are_updated_in_the_worktree_alone(swept, tmp_path):
    project = copy_of(swept, tmp_path / "project", images=0)
    upstream = tmp_path / "upstream"
    draw(upstream, 30, seed=6)
    project.run("git rm -q images/README.md && rm -rf images")
    project.run("sed -i 's|^/images/.*||; s|^!/images/.*||' .gitignore")
    project.run(f"dvc import-url {upstream} images && git add -A && git commit -qm imported")
    users = what_is_the_users(project)
    project.run(KEEP)
    assert "(images, as DVC tracks it)" in project.run(KEEP).stdout
    draw(upstream, 5, seed=7)
    done = json.loads(project.run(f"{KEEP} --json").stdout)
    assert what_is_the_users(project) == users
    assert "20 images added" in project.read(".vit/keep/report.md")
    run = look(project).client.get_run(look(project).versions[-1].run_id)
    assert run.data.params["data.path"] == "images"
    shown = project.run(f"dvc exp branch {done['experiment']} renewed && git diff --stat main renewed").stdout
    assert "images.dvc" in shown and "dvc.lock" in shown
