"""The state of the repo that made a version, rebuilt in a temporary git worktree.

The user's working tree, index, branch, DVC cache entries and MLflow store are not changed.
"""

import contextlib
import hashlib
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vit.config.files import DVC_LOCK, PARAMS
from vit.errors import UserError
from vit.files import project_root, temporary_folder
from vit.registry.origin import CODE_DIFF
from vit.registry.provenance import Provenance
from vit.tracking.store import sqlite_uri
from vit.worktrees import (
    CommandFailed,
    add_worktree,
    cache_settings,
    environment,
    git,
    remove_worktree,
    run,
    settings_of,
    write_settings,
)

REPRODUCE_ALONE = ("repro", "--single-item", "--force", "--no-run-cache", "--no-commit")


@dataclass(frozen=True)
class Rebuilt:
    """A working tree at `folder` with a version's commit, code, parameters and lock file, and environment variables."""

    folder: Path
    env: dict[str, str]
    root: Path  # root of the user's repo
    cache: dict[str, str]  # DVC settings of the cache

    def dvc(self, *arguments: str, shown: bool = False) -> None:
        run([sys.executable, "-m", "dvc", *arguments], self.folder, self.env, shown)

    def reproduce(self, stage: str, shown: bool = False) -> None:
        """Run one stage on the current files; its outputs do not enter DVC's cache."""
        quiet = ["--quiet"] if shown else []  # DVC's advice does not apply to a temporary tree
        self.dvc(*REPRODUCE_ALONE, *quiet, stage, shown=shown)

    def restore(self, targets: list[str]) -> str:
        """Restore stages or outputs from the user's DVC cache, else from the remote; returns which one."""
        try:
            self.dvc("checkout", *targets)
            return "the DVC cache"
        except CommandFailed:
            write_settings(self.folder, settings_of(self.root) | {"cache": self.cache})
        try:
            self.dvc("pull", *targets)
            return "the DVC remote"
        except CommandFailed as error:
            raise UserError(
                f"this version's data is neither in the DVC cache nor in the DVC remote ({error}); "
                "add the remote that has it with `dvc remote add --default`, or run `dvc repro` at its commit"
            ) from error


@contextlib.contextmanager
def rebuilt(provenance: Provenance) -> Iterator[Rebuilt]:
    """Check out the version's commit and apply its changes; remove everything when the block ends.

    Raises UserError if the commit is not in this repo.
    """
    root, commit = project_root(), provenance.origin["commit"]
    if not commit:
        raise UserError(f"{provenance.title} was made outside git, so there is no commit to check out")
    try:
        git(root, "cat-file", "-e", f"{commit}^{{commit}}")
    except CommandFailed as error:
        raise UserError(f"commit {commit} of {provenance.title} is not in this repo; `git fetch` it") from error
    with temporary_folder(root / ".dvc/tmp/verify") as temporary:
        tree = temporary / "tree"
        try:
            add_worktree(root, tree, commit)
            _apply_changes(tree, provenance)
            cache = cache_settings(root)
            write_settings(tree, {"cache": cache})
            yield Rebuilt(tree, _environment(temporary), root, cache)
        finally:
            remove_worktree(root, tree)


def _apply_changes(tree: Path, provenance: Provenance) -> None:
    diff = provenance.folder / CODE_DIFF
    if diff.stat().st_size:
        try:
            git(tree, "apply", "--whitespace=nowarn", str(diff))
        except CommandFailed as error:
            raise UserError(f"{CODE_DIFF} of {provenance.title} does not apply to its commit ({error})") from error
    for name in (PARAMS, DVC_LOCK):
        shutil.copyfile(provenance.folder / name, tree / name)


def _environment(temporary: Path) -> dict[str, str]:
    """A separate MLflow store, so that nothing appears in the user's; `python` is the interpreter of this process."""
    env = environment()
    ours = {name: value for name, value in env.items() if not name.startswith(("DVC_", "MLFLOW_"))}
    return ours | {
        "MLFLOW_TRACKING_URI": sqlite_uri(temporary / "mlflow.db"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{env.get('PATH', os.defpath)}",
    }


def changed_code(tree: Path, stages: dict[str, dict]) -> list[str]:
    """The Python files below `tree` whose md5 differs from the one in dvc.lock for `stages`, sorted."""
    deps = {dep["path"]: dep["md5"] for stage in stages.values() for dep in stage.get("deps", [])}
    code = {path: md5 for path, md5 in deps.items() if path.endswith(".py")}
    return sorted(path for path, md5 in code.items() if _md5(tree / path) != md5)


def _md5(path: Path) -> str | None:
    return hashlib.md5(path.read_bytes()).hexdigest() if path.is_file() else None
