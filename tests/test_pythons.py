"""`make test-pythons` on a small repo whose `make test` takes no time."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPO

THIS = f"{sys.version_info.major}.{sys.version_info.minor}"
MAKEFILE = """\
test:
\t$(PYTHON) -c 'import sys; print("ran on", sys.version_info[:2], "in", sys.argv[1])' $(CURDIR)
\ttest ! -e untracked
\ttest -e passes
"""


@pytest.fixture
def repo(tmp_path) -> Path:
    folder = tmp_path / "repo"
    (folder / ".ci").mkdir(parents=True)
    (folder / ".ci/test-pythons").write_text((REPO / ".ci/test-pythons").read_text())
    (folder / ".ci/test-pythons").chmod(0o755)
    (folder / "Makefile").write_text(MAKEFILE)
    (folder / "passes").touch()
    commit(folder)
    return folder


def commit(folder: Path) -> None:
    by = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    for command in (["init", "-q"], ["add", "-A"], [*by, "commit", "-qm", "change"]):
        subprocess.run(["git", *command], cwd=folder, check=True)


def on_pythons(folder: Path, *versions: str, home: Path) -> subprocess.CompletedProcess:
    """Run the script with this Python's folder first on the PATH."""
    env = os.environ | {"HOME": str(home), "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run([".ci/test-pythons", *versions], cwd=folder, env=env, capture_output=True, text=True)


def test_each_python_that_is_there_runs_the_tests_in_a_fresh_clone_and_the_others_are_named(repo, tmp_path):
    (repo / "untracked").touch()
    done = on_pythons(repo, "9.98", THIS, "9.99", home=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("ran on")]
    assert f"ran on {sys.version_info[:2]}" in line and str(repo) not in line
    assert done.stdout.splitlines()[-1] == f"== passed: {THIS}; failed: none; not found: 9.98 9.99"


def test_one_python_that_fails_fails_all(repo, tmp_path):
    (repo / "passes").unlink()
    commit(repo)
    done = on_pythons(repo, THIS, "9.99", home=tmp_path)
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == f"== passed: none; failed: {THIS}; not found: 9.99"


def test_no_python_at_all_is_a_failure(repo, tmp_path):
    assert on_pythons(repo, "9.99", home=tmp_path).returncode == 1


def test_a_python_of_pyenv_is_found_and_a_shim_that_does_not_start_is_passed_over(repo, tmp_path):
    shim, real = tmp_path / "shims/python9.99", tmp_path / ".pyenv/versions/9.99.1/bin/python9.99"
    for path, text in ((shim, "exit 127"), (real, f'exec {sys.executable} "$@"')):
        path.parent.mkdir(parents=True)
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
    env = os.environ | {"HOME": str(tmp_path), "PATH": f"{shim.parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run([".ci/test-pythons", "9.99"], cwd=repo, env=env, capture_output=True, text=True)
    assert done.returncode == 0 and f"== Python 9.99: {real}" in done.stdout
