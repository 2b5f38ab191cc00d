"""Git worktrees beside the user's own, with DVC set to the user's cache: what happens there leaves the user's alone."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

OF_ANOTHER_REPO = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")  # git sets them for its hooks
GIT = ("git", "-c", "core.hooksPath=/dev/null")  # no hooks of DVC or the user
STDERR = 2  # the file descriptor


class CommandFailed(Exception):
    """A command failed; the message is its error line."""


def environment() -> dict[str, str]:
    """This process's environment variables, without those by which git would take another repo for this one."""
    return {name: value for name, value in os.environ.items() if name not in OF_ANOTHER_REPO}


def git(folder: Path, *arguments: str) -> str:
    """What `git ARGUMENTS` prints in `folder`. Raises CommandFailed."""
    return run([*GIT, *arguments], folder, environment())


def add_worktree(root: Path, tree: Path, commit: str) -> None:
    """Check out `commit` of the repo at `root` to the new folder `tree`. Raises CommandFailed."""
    git(root, "worktree", "add", "--quiet", "--force", "--detach", str(tree), commit)


def remove_worktree(root: Path, tree: Path) -> None:
    """Remove `tree` and what git knows of it, if it is there; also what an earlier removal left that was cut off."""
    with contextlib.suppress(CommandFailed):
        git(root, "worktree", "remove", "--force", "--force", str(tree))
    if tree.exists():
        shutil.rmtree(tree, ignore_errors=True)
        with contextlib.suppress(CommandFailed):
            git(root, "worktree", "prune")


def cache_settings(root: Path, links: str = "reflink,symlink,copy") -> dict[str, str]:
    """DVC's settings for a tree that uses the cache of `root`: by links, as copying a large data set takes long."""
    folder = run([sys.executable, "-m", "dvc", "cache", "dir"], root, environment()).strip()
    return {"dir": folder, "type": links}


def settings_of(root: Path) -> dict[str, dict[str, str]]:
    """DVC's effective settings at `root`; DVC makes relative paths absolute."""
    listed = run([sys.executable, "-m", "dvc", "config", "--list"], root, dict(os.environ))
    config: dict[str, dict[str, str]] = {}
    for line in listed.splitlines():
        if entry := re.fullmatch(r"(\w+)\.(?:(.+)\.)?([^.=]+)=(.*)", line):
            block, name, key, value = entry.groups()
            config.setdefault(f"""'{block} "{name}"'""" if name else block, {})[key] = value
    return config


def write_settings(tree: Path, settings: dict[str, dict[str, str]]) -> None:
    """Write DVC's local settings of `tree`; the quotes keep ConfigObj from splitting values at commas."""
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
