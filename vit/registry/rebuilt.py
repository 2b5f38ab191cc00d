"""The state of the repo that made a version, rebuilt in a temporary git worktree.

The user's working tree, index, branch, DVC cache entries and MLflow store are not changed.
"""

import contextlib
import hashlib
import os
import re
import shutil
import signal
import subprocess
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

OF_ANOTHER_REPO = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")  # git sets them for its hooks
STDERR = 2  # the file descriptor
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
            _write_config(self.folder, _config_of(self.root) | {"cache": self.cache})
        try:
            self.dvc("pull", *targets)
            return "the DVC remote"
        except CommandFailed as error:
            raise UserError(
                f"this version's data is neither in the DVC cache nor in the DVC remote ({error}); "
                "add the remote that has it with `dvc remote add --default`, or run `dvc repro` at its commit"
            ) from error


class CommandFailed(Exception):
    """A command failed; the message is its error line."""


@contextlib.contextmanager
def rebuilt(provenance: Provenance) -> Iterator[Rebuilt]:
    """Check out the version's commit and apply its changes; remove everything when the block ends.

    Raises UserError if the commit is not in this repo.
    """
    root, commit = project_root(), provenance.origin["commit"]
    if not commit:
        raise UserError(f"{provenance.title} was made outside git, so there is no commit to check out")
    env = {name: value for name, value in os.environ.items() if name not in OF_ANOTHER_REPO}
    git = ["git", "-c", "core.hooksPath=/dev/null"]  # no hooks of DVC or the user on this checkout
    try:
        run([*git, "cat-file", "-e", f"{commit}^{{commit}}"], root, env)
    except CommandFailed as error:
        raise UserError(f"commit {commit} of {provenance.title} is not in this repo; `git fetch` it") from error
    with temporary_folder(root / ".dvc/tmp/verify") as temporary:
        tree = temporary / "tree"
        try:
            run([*git, "worktree", "add", "--quiet", "--force", "--detach", str(tree), commit], root, env)
            _apply_changes(git, tree, env, provenance)
            folder = run([sys.executable, "-m", "dvc", "cache", "dir"], root, env).strip()
            cache = {"dir": folder, "type": "reflink,symlink,copy"}  # copying a large data set would take long
            _write_config(tree, {"cache": cache})
            yield Rebuilt(tree, _environment(env, temporary), root, cache)
        finally:
            with contextlib.suppress(CommandFailed):  # adding it may have failed
                run([*git, "worktree", "remove", "--force", "--force", str(tree)], root, env)


def _apply_changes(git: list[str], tree: Path, env: dict[str, str], provenance: Provenance) -> None:
    diff = provenance.folder / CODE_DIFF
    if diff.stat().st_size:
        try:
            run([*git, "apply", "--whitespace=nowarn", str(diff)], tree, env)
        except CommandFailed as error:
            raise UserError(f"{CODE_DIFF} of {provenance.title} does not apply to its commit ({error})") from error
    for name in (PARAMS, DVC_LOCK):
        shutil.copyfile(provenance.folder / name, tree / name)


def _environment(env: dict[str, str], temporary: Path) -> dict[str, str]:
    """A separate MLflow store, so that nothing appears in the user's; `python` is the interpreter of this process."""
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


def _config_of(root: Path) -> dict[str, dict[str, str]]:
    """DVC's effective settings at `root`; DVC makes relative paths absolute."""
    listed = run([sys.executable, "-m", "dvc", "config", "--list"], root, dict(os.environ))
    config: dict[str, dict[str, str]] = {}
    for line in listed.splitlines():
        if entry := re.fullmatch(r"(\w+)\.(?:(.+)\.)?([^.=]+)=(.*)", line):
            block, name, key, value = entry.groups()
            config.setdefault(f"""'{block} "{name}"'""" if name else block, {})[key] = value
    return config


def _write_config(tree: Path, settings: dict[str, dict[str, str]]) -> None:
    """Write the temporary tree's DVC configuration; the quotes keep ConfigObj from splitting values at commas."""
    lines = []
    for block, values in settings.items():
        lines += [f"[{block}]", *(f"""{key} = '''{value}'''""" for key, value in values.items())]
    path = tree / ".dvc/config.local"
    path.touch(mode=0o600)  # it may hold the keys of a remote
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def run(command: list[str], folder: Path, env: dict[str, str], shown: bool = False) -> str:
    """Run a command and return its output; an interruption also kills everything that the command started.

    Raises CommandFailed. With `shown`, the output goes to stderr instead.
    """
    out, err = (STDERR, None) if shown else (subprocess.PIPE, subprocess.PIPE)
    process = subprocess.Popen(
        command, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=err, text=True, errors="replace",
        start_new_session=True,
    )  # fmt: skip
    try:
        output, errors = process.communicate()
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    if process.returncode:
        raise CommandFailed(_cause(errors or output or "", process.returncode))
    return output or ""


def _cause(said: str, status: int) -> str:
    """The stage's own error rather than DVC's, which only says that the stage failed."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith(("error:", "fatal:"))]
    return (errors or lines or [f"exit status {status}"])[0 if errors else -1]
