"""Running the pipeline in a worktree of its own; what it gives is an experiment of DVC, as after `dvc exp run`.

`dvc exp run` itself would tell the stages that the worktree is the user's repo, and store and checkpoints would be lost
with it. `dvc exp save` would add the figures to git, which ignores them.
"""

import json
import sys
import time
from pathlib import Path
from typing import IO

import psutil
from ruamel.yaml import YAML

from vit import background, dvc
from vit.config.files import PARAMS
from vit.config.params_file import read_yaml
from vit.errors import UserError
from vit.files import project_root, replacing
from vit.worktrees import CommandFailed, add_worktree, cache_settings, git, remove_worktree, settings_of, write_settings

TREE = Path(".dvc/tmp/keep/tree")  # below the user's repo, where DVC looks for no stages
LINKS = "reflink,hardlink,copy"  # not symlink: MLflow takes no file that is one
POLL = 0.5  # seconds
PATIENCE = 120.0  # seconds in which an interrupted training writes its checkpoint


def new_tree(commit: str) -> Path:
    """A worktree at `commit` that uses DVC's cache, settings and remotes of the user's repo. Raises UserError."""
    root = project_root()
    tree = root / TREE
    remove_worktree(root, tree)  # of a turn that was killed
    try:
        tree.parent.mkdir(parents=True, exist_ok=True)
        add_worktree(root, tree, commit)
        write_settings(tree, settings_of(root) | {"cache": cache_settings(root, LINKS)})
    except (CommandFailed, OSError) as error:
        raise UserError(f"{tree}: the worktree for the training cannot be made ({error})") from error
    return tree


def update_import(tree: Path, path: Path) -> object:
    """Fetch what the import file `path` in `tree` names, if that has changed; what DVC says of it now."""
    dvc.run("update", str(path), folder=tree)
    return read_yaml(tree / path)["outs"]


def is_unchanged(root: Path, path: Path, described: dict) -> bool:
    """Whether the data in the user's tree is what the file `path` of DVC says in the commit, as `described`."""
    if not (root / path).is_file() or read_yaml(root / path) != described:
        return False
    return json.loads(dvc.run("status", "--json", str(path), folder=root)) == {}


def checkout(tree: Path, path: Path) -> None:
    """Bring the data that the file `path` of DVC describes from the cache into `tree`. Raises UserError."""
    dvc.run("checkout", str(path), folder=tree)


def at_work(tree: Path) -> list[int]:
    """The processes that work in `tree`: asked of the system, as a clock that was set back spoils start times."""
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).is_relative_to(tree):
                found.append(process.pid)
        except (psutil.Error, OSError):  # of another user, or just ended
            continue
    return found


def train(tree: Path, name: str, commit: str, pins: dict[str, object], job: Path) -> None:
    """Run the whole pipeline in `tree` as the experiment `name`, with the parameters `pins`, and show its output.

    It goes on if this process is killed. An interruption stops it, after it has written a checkpoint. Raises UserError
    with the stage's error if it fails.
    """
    _set_params(tree / PARAMS, pins)
    # As in DVC's own temporary copies: store, checkpoints and locks are those of the user's repo.
    env = {"DVC_ROOT": str(project_root()), "DVC_EXP_NAME": name, "DVC_EXP_BASELINE_REV": commit}
    dvc.begin(["repro"], job, tree, env)
    try:
        with (job / background.OUTPUT).open("rb") as output:
            while (state := background.look(job)) is not None and state.status is None:
                if not state.is_running and not at_work(tree):
                    break  # killed
                _relay(output)
                time.sleep(POLL)
            _relay(output)
    except BaseException:
        background.stop(job)
        _wait_until_nobody_works_in(tree)
        raise
    if state is None or not state.succeeded:
        text = (job / background.OUTPUT).read_text(encoding="utf-8", errors="replace")
        raise UserError(f"the training failed: {dvc.failure_in(text) or f'see {job / background.OUTPUT}'}")
    _save_experiment(tree, name, commit)


def _save_experiment(tree: Path, name: str, commit: str) -> None:
    """What differs from `commit` in git, as DVC keeps experiments: a commit that no branch holds.

    Their place is described at dvc.org/doc/user-guide/experiment-management (refs/exps/BASELINE/NAME).
    """
    author = ("-c", "user.name=vit keep", "-c", "user.email=vit-keep@localhost")
    try:
        git(tree, "add", "--all")
        made = git(tree, "write-tree").strip()
        saved = git(tree, *author, "commit-tree", made, "-p", commit, "-m", f"dvc: commit experiment {name}").strip()
        git(tree, "update-ref", f"refs/exps/{commit[:2]}/{commit[2:]}/{name}", saved)
    except CommandFailed as error:
        raise UserError(f"the experiment {name} cannot be kept in git ({error})") from error


def _set_params(path: Path, pins: dict[str, object]) -> None:
    yaml = YAML()  # keeps the comments
    values = yaml.load(path)
    for key, value in pins.items():
        section, name = key.split(".")
        values[section][name] = value
    with replacing(path) as temporary:
        yaml.dump(values, temporary)


def _relay(output: IO[bytes]) -> None:
    sys.stderr.write(output.read().decode(errors="replace"))
    sys.stderr.flush()


def _wait_until_nobody_works_in(tree: Path) -> None:
    give_up = time.monotonic() + PATIENCE
    while at_work(tree) and time.monotonic() < give_up:
        time.sleep(POLL)


def drop_tree() -> None:
    remove_worktree(project_root(), project_root() / TREE)
