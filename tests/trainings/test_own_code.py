"""Experiments run the code of their own copy of the repo, although the project is installed editable elsewhere."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.conftest import Project
from tests.experiments.sweep import work_through_the_queue
from tests.presets import write_preset
from tests.trainings.conftest import PARAMS

CHANGED = Path("vit/data/images.py")
# Each process that imports the changed module, or decodes an image by it, writes who it is.
CHANGE = """

import functools, multiprocessing, os, sys


def _report():
    who = "main" if multiprocessing.parent_process() is None else "worker"
    with open(os.environ["REPORT"], "a") as file:
        print(sys.argv[0], os.environ.get("RANK", "alone"), who, __file__, sep="\\t", file=file)


def _reporting(job):
    @functools.wraps(job)
    def reported(*args, **kwargs):
        _report()
        return job(*args, **kwargs)

    return reported


_report()
load_image = _reporting(load_image)
"""


@dataclass(frozen=True)
class Report:
    """Which process ran the changed code: of a stage's script, by its rank, in which file."""

    script: Path
    rank: str
    who: str
    module: Path


@pytest.fixture(scope="module")
def installed(packed, tmp_path_factory) -> Project:
    """The packed clone, installed editable into an environment of its own, as `make repro` does."""
    environment = tmp_path_factory.mktemp("environment") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    (site,) = environment.glob("lib/python*/site-packages")
    present = [path for path in sys.path if path.endswith("site-packages")]
    (site / "present.pth").write_text("".join(f"{path}\n" for path in present))
    for name, module in (("dvc", "dvc.cli"), ("torchrun", "torch.distributed.run")):  # as pip writes them
        script = environment / "bin" / name
        script.write_text(f"#!{environment}/bin/python\nimport sys\nfrom {module} import main\nsys.exit(main())\n")
        script.chmod(0o755)
    pip = [sys.executable, "-m", "pip", "--python", str(environment / "bin/python")]
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--editable", str(packed.folder)]
    subprocess.run([*pip, "install", *options], check=True)
    # The commit's lock names outputs of evaluate that this clone never had, which ends an experiment on one stage.
    packed.run("rm dvc.lock && dvc repro pack weights")
    path = f"{environment}/bin{os.pathsep}{packed.env['PATH']}"
    return replace(packed, env=packed.env | {"PATH": path, "MLFLOW_TRACKING_URI": f"sqlite:///{environment}/mlflow.db"})


@pytest.fixture
def changed(installed) -> Iterator[Project]:
    """The clone with code that only its working tree has."""
    write_preset(installed.folder / "params.yaml", "shapes", PARAMS | {"pack.workers": 2})
    with (installed.folder / CHANGED).open("a") as file:
        file.write(CHANGE)
    yield installed
    installed.run(f"git checkout -q {CHANGED}")


def reports(file: Path) -> set[Report]:
    rows = {tuple(line.split("\t")) for line in file.read_text().splitlines()}
    return {Report(Path(script), rank, who, Path(module)) for script, rank, who, module in rows}


def assert_all_of_one_copy(found: set[Report], repo: Path) -> None:
    """Scripts and module lie in the experiment's temporary copy, none in the repo itself."""
    (copy,) = {report.module.parents[2] for report in found}
    assert copy.is_relative_to(repo / ".dvc/tmp/exps")
    assert {report.script.parents[1] for report in found} == {copy}


def test_the_editable_install_is_what_a_program_elsewhere_imports_and_git_does_not_see_it(installed, tmp_path):
    program = "import vit.data.images as found; print(found.__file__)"
    found = subprocess.run(["python", "-c", program], cwd=tmp_path, env=installed.env, capture_output=True, text=True)
    assert Path(found.stdout.strip()) == installed.folder / CHANGED, found.stderr
    assert [line for line in installed.run("git status --short").stdout.splitlines() if line.startswith("??")] == []


def test_a_temporary_run_and_its_worker_processes_run_the_code_of_their_copy(changed, tmp_path):
    changed.run("dvc exp run --temp pack", REPORT=str(tmp_path / "report"))
    found = reports(tmp_path / "report")
    assert_all_of_one_copy(found, changed.folder)
    assert {report.script.stem for report in found} == {"split", "pack"}
    assert {report.who for report in found if report.script.stem == "pack"} == {"main", "worker"}


@pytest.mark.slow
def test_a_queued_run_by_torchrun_and_its_loaders_run_the_code_they_were_queued_with(changed, tmp_path):
    changes = "-S pack.mode=none -S train.epochs=1 -S train.warmup_epochs=0"
    changed.run(f"dvc exp run --queue {changes} -S 'train.launcher=torchrun --nproc-per-node 2' train")
    changed.run(f"git checkout -q {CHANGED}")
    work_through_the_queue(replace(changed, env=changed.env | {"REPORT": str(tmp_path / "report")}))
    found = reports(tmp_path / "report")
    assert_all_of_one_copy(found, changed.folder)
    of_train = {(report.rank, report.who) for report in found if report.script.stem == "train"}
    assert of_train == {("0", "main"), ("0", "worker"), ("1", "main"), ("1", "worker")}
