"""The change of the code that a version keeps, against real git repos."""

import subprocess
from pathlib import Path

import pytest

from vit.registry.origin import write_code_diff

pytestmark = pytest.mark.long


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    return subprocess.run(["git", *who, *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def repo(tmp_path, monkeypatch) -> Path:
    """A commit with a module, parameters and a .gitignore; the test's working directory."""
    folder = tmp_path / "repo"
    for name, text in {"vit/a.py": "A = 1\n", "params.yaml": "lr: 1\n", ".gitignore": "*.pyc\n"}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "start")
    monkeypatch.chdir(folder)
    return folder


def state(repo: Path) -> dict[str, bytes]:
    return {
        path.relative_to(repo).as_posix(): path.read_bytes()
        for name in ("vit", "stages", "params.yaml")
        for path in [repo / name, *(repo / name).rglob("*")]
        if path.is_file() and path.suffix != ".pyc"
    }


def test_the_commit_with_the_diff_is_the_working_tree_new_files_included(repo, tmp_path):
    git(repo, "config", "diff.noprefix", "true")
    git(repo, "config", "color.ui", "always")
    (repo / "vit/a.py").write_text("A = 2\n")
    (repo / "params.yaml").write_text("lr: 2\n")
    (repo / "stages").mkdir()
    (repo / "stages/new one.py").write_text("no line end, ünïcode")
    (repo / "vit/__init__.py").touch()
    (repo / "vit/table.bin").write_bytes(bytes(range(256)))
    (repo / "vit/staged.py").write_text("STAGED = 1\n")
    git(repo, "add", "vit/staged.py")
    (repo / "vit/a.pyc").write_bytes(b"ignored")
    before = (git(repo, "status", "--porcelain"), (repo / ".git/index").read_bytes())
    diff = write_code_diff(tmp_path / "code.diff")
    assert (git(repo, "status", "--porcelain"), (repo / ".git/index").read_bytes()) == before

    git(repo, "worktree", "add", "-q", "--detach", str(tmp_path / "again"), "HEAD")
    git(tmp_path / "again", "apply", str(diff))
    assert state(tmp_path / "again") == state(repo)
    assert "ignored" not in diff.read_text(errors="replace")


def test_nothing_changed_is_an_empty_diff_and_so_is_a_folder_without_a_commit(repo, tmp_path, monkeypatch):
    assert write_code_diff(tmp_path / "code.diff").read_bytes() == b""
    (tmp_path / "bare").mkdir()
    monkeypatch.chdir(tmp_path / "bare")
    assert write_code_diff(tmp_path / "code.diff").read_bytes() == b""
