"""What runs before a commit, on a push and at a release: valid, pinned, with few rights, and on every Python."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.conftest import REPO, Project, clone
from vit.release import VERSION

pytestmark = pytest.mark.long

WORKFLOWS = sorted((REPO / ".github/workflows").glob("*.yml"))
# What a job may beyond reading, and the secrets that it is given; GitHub hands none to the pull request of a fork.
RIGHTS = {
    "release": {"release": {"contents": "write"}},
    "keep": {"keep": {"contents": "write", "pull-requests": "write"}},
}
SECRETS = {
    "keep": {
        f"secrets.{name}"
        for name in (
            *("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"),
            *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
        )
    }
}
PINNED = re.compile(r"\./\.github/workflows/\w+\.yml|[\w.-]+/[\w./-]+@(v\d+|[0-9a-f]{40})")


def load(path: Path) -> dict:
    return YAML(typ="safe", pure=True).load(path)


def steps(workflow: dict) -> list[dict]:
    return [step for job in workflow["jobs"].values() for step in job.get("steps", [])]


def checked(*files: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows"]
    return subprocess.run([*command, *map(str, files)], capture_output=True, text=True)


def test_the_workflows_are_valid_by_the_schema_and_a_wrong_one_is_not(tmp_path):
    assert {path.stem for path in WORKFLOWS} == {"tests", "docs", "release", "keep", "images"}
    done = checked(*WORKFLOWS)
    assert done.returncode == 0, done.stdout
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(WORKFLOWS[0].read_text().replace("runs-on:", "runs_on:"))
    assert checked(wrong).returncode == 1


def test_the_tests_run_on_every_python_of_make_test_pythons():
    listed = re.search(r"\.ci/test-pythons (.+)", (REPO / "Makefile").read_text())
    assert listed is not None
    workflow = load(REPO / ".github/workflows/tests.yml")
    assert workflow["jobs"]["tests"]["strategy"]["matrix"]["python"] == listed[1].split()
    asked = [step["with"]["python-version"] for step in steps(workflow) if "python-version" in step.get("with", {})]
    assert asked == ["${{ matrix.python }}"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_pins_its_actions_and_has_only_the_rights_and_secrets_that_are_listed(path):
    workflow = load(path)
    used = [one["uses"] for one in [*steps(workflow), *workflow["jobs"].values()] if "uses" in one]
    assert used and [action for action in used if not PINNED.fullmatch(action)] == []
    assert set(re.findall(r"secrets\.\w+", path.read_text())) == SECRETS.get(path.stem, set())
    assert path.stem not in SECRETS or not {"pull_request", "pull_request_target"} & workflow["on"].keys()
    assert workflow["permissions"] == {"contents": "read"}
    rights = {name: job["permissions"] for name, job in workflow["jobs"].items() if "permissions" in job}
    assert rights == RIGHTS.get(path.stem, {})
    checkouts = [step for step in steps(workflow) if step.get("uses", "").startswith("actions/checkout@")]
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_what_the_workflows_make_is_a_target_of_the_makefile():
    targets = set(re.findall(r"^([a-z-]+):", (REPO / "Makefile").read_text(), re.M))
    made = {word for path in WORKFLOWS for word in re.findall(r"run: make ([a-z-]+)", path.read_text())}
    assert made == {"test", "docs", "images"} and made <= targets


def test_a_release_is_described_by_its_part_of_the_changelog_and_refused_if_its_tag_is_wrong(tmp_path):
    for name in (".ci/release-notes", "vit/release.py"):
        (tmp_path / name).parent.mkdir(parents=True)
        shutil.copy(REPO / name, tmp_path / name)
    changelog = f"# Changelog\n\n## {VERSION} - 2026-01-02\n\n- New.\n- Newer.\n\n## 0.0.1 - 2025-01-02\n\n- Old.\n"
    (tmp_path / "CHANGELOG.md").write_text(changelog)

    def notes(tag: str) -> subprocess.CompletedProcess:
        return subprocess.run([str(tmp_path / ".ci/release-notes"), tag], capture_output=True, text=True)

    assert (notes(f"v{VERSION}").returncode, notes(f"v{VERSION}").stdout.strip()) == (0, "- New.\n- Newer.")
    assert notes("v0.0.1").returncode == 1 and "vit/release.py says" in notes("v0.0.1").stderr
    (tmp_path / "CHANGELOG.md").write_text(changelog.replace(" - 2026-01-02", " (unreleased)"))
    assert notes(f"v{VERSION}").returncode == 1 and "no heading" in notes(f"v{VERSION}").stderr


@pytest.fixture(scope="module")
def committed(tmp_path_factory) -> Project:
    return clone(tmp_path_factory.mktemp("pre-commit") / "project")


def test_pre_commit_passes_on_all_files_and_downloads_nothing(committed, tmp_path):
    offline = {"PRE_COMMIT_HOME": str(tmp_path), "https_proxy": "http://127.0.0.1:9", "PIP_NO_INDEX": "1"}
    shown = committed.run("pre-commit run --all-files", **offline).stdout
    hooks = load(REPO / ".pre-commit-config.yaml")["repos"][0]["hooks"]
    assert shown.count("Passed") == len(hooks) == 3
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []  # no environment was made


def test_pre_commit_refuses_what_ruff_refuses_and_changes_no_file(committed, tmp_path):
    text = "import os\nx = {  'a':1}\n"
    (committed.folder / "vit/wrong.py").write_text(text)
    home = {"PRE_COMMIT_HOME": str(tmp_path)}
    committed.run("git add vit/wrong.py")
    for hook, said in (("ruff-check", "F401"), ("ruff-format", "1 file would be reformatted")):
        assert said in committed.run(f"pre-commit run {hook}", succeeds=False, **home).stdout
    assert committed.read("vit/wrong.py") == text
