"""One turn of continuous training: has the data changed, then train, judge, publish, report. Schedulers repeat it.

Whether work is done, the MLflow store says, by a tag of the version that it ended in: a turn that is repeated, or was
killed anywhere, does it once. DVC's cache and the checkpoints hold what a killed turn had computed.
"""

import contextlib
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout

from vit.config.files import KEPT
from vit.errors import UserError, one_line
from vit.files import project_root
from vit.monitoring.done import version_of_work
from vit.monitoring.inputs import Inputs, carry, current_inputs, read_folders
from vit.monitoring.recipe import Recipe, committed_recipe, file_at
from vit.monitoring.state import Failure, State, failed_again, read_state, write_state
from vit.monitoring.training import (
    TREE,
    at_work,
    checkout,
    drop_tree,
    is_unchanged,
    new_tree,
    train,
    update_import,
)

STATE, LOCK, SEEN, JOB = "state.json", "lock", "files.json", "training"
UNREADABLE = ""  # stands for the work of a turn that could not read its recipe, which is tried again at once


@dataclass(frozen=True)
class Turn:
    """What a turn came to, in one line; if it trained, DVC's experiment and the files of its report."""

    outcome: Literal["unchanged", "busy", "waiting", "trained"]
    said: str
    experiment: str | None = None
    report: tuple[Path, ...] = ()


def turn(at_once: bool = False, hub_branch: str = "main", say: Callable[[str], None] = lambda text: None) -> Turn:
    """Do one turn; with `at_once` without waiting after a failure. `say` receives what a person should know meanwhile.

    `hub_branch` is the branch of a Hugging Face data set that is followed. Raises UserError if the turn fails, which is
    remembered.
    """
    folder = project_root() / KEPT
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / LOCK, timeout=0):
            if processes := at_work(project_root() / TREE):
                left = f"the training of an earlier `vit keep`, which was killed, still runs (process {processes[0]})"
                return Turn("busy", f"{left}; the turn after it reports")
            return _remembered_turn(folder, at_once, hub_branch, say)
    except Timeout:
        return Turn("busy", "another `vit keep` is at work in this project, and does what there is to do")


def status() -> State:
    """How the last turns went."""
    return read_state(project_root() / KEPT / STATE)


def _remembered_turn(folder: Path, at_once: bool, hub_branch: str, say: Callable[[str], None]) -> Turn:
    state = read_state(folder / STATE)
    doing = Doing()
    try:
        done = _turn(folder, None if at_once else state.failure, hub_branch, say, doing)
    except UserError as error:
        failure = failed_again(state.failure, time.time(), doing.work, one_line(error))
        write_state(folder / STATE, State(failure, state.last))
        _alarm(doing, failure)
        raise
    finally:
        if not at_work(project_root() / TREE):  # else it must not lose its files; the next turn removes them
            drop_tree()
    if done.outcome != "waiting" and (state.failure or done.outcome == "trained"):
        _alarm(doing, None)
        write_state(folder / STATE, State(None, done.said if done.outcome == "trained" else state.last))
    return done


@dataclass
class Doing:
    """How far a turn has come: the registered model's name and the work, as soon as they are known."""

    model: str | None = None
    work: str | None = UNREADABLE


def _turn(folder: Path, failure: Failure | None, hub_branch: str, say: Callable[[str], None], doing: Doing) -> Turn:
    """A turn that waits after `failure`, and tells `doing` how far it has come."""
    root = project_root()
    recipe = committed_recipe(root)
    doing.model, doing.work = recipe.params.register_.name, None
    if early := _too_early(failure, None):
        return Turn("waiting", early)
    tracked, tree = _tracked(root, recipe)
    inputs = current_inputs(recipe.params, root, tracked, hub_branch, folder / SEEN)
    doing.work = hashlib.sha256(f"{recipe.digest}\n{inputs.digest}".encode()).hexdigest()[:16]
    if early := _too_early(failure, doing.work):
        return Turn("waiting", early)
    if (version := version_of_work(doing.model, doing.work)) is not None:
        return Turn("unchanged", f"nothing changed since version {version} of '{doing.model}' ({inputs.said})")
    say(_announcement(recipe, inputs))
    tree = tree or new_tree(recipe.commit)
    if tracked is not None:
        checkout(tree, _tracking_file(recipe))
    return _train(folder, recipe, inputs, tree, doing.work)


def _tracking_file(recipe: Recipe) -> Path:
    """Where DVC would describe data.path, if it tracks that."""
    return Path(f"{recipe.params.data.path}.dvc")


def _tracked(root: Path, recipe: Recipe) -> tuple[object, Path | None]:
    """What DVC tracks as data.path, if that is what a training takes; else None, for the folder as it is.

    An import is brought up to date first, in a worktree, which comes second.
    """
    file = _tracking_file(recipe)
    if recipe.params.data.source != "folder" or file.is_absolute():
        return None, None
    described = file_at(root, recipe.commit, file)
    if described is None:
        return None, None
    if described.get("deps"):
        tree = new_tree(recipe.commit)
        return update_import(tree, file), tree
    return (described["outs"] if is_unchanged(root, file, described) else None), None


def _too_early(failure: Failure | None, work: str | None) -> str | None:
    """Why the work is not tried again yet; None if it is time."""
    if failure is None or failure.work != work or not (seconds := failure.remaining(time.time())):
        return None
    turns = "the last turn" if failure.count == 1 else f"the last {failure.count} turns"
    return f"{turns} failed ({failure.error}); the next try is in {seconds / 60:.0f} min, or with `vit keep --now`"


def _announcement(recipe: Recipe, inputs: Inputs) -> str:
    said = f"training on {inputs.said}, with code and parameters of commit {recipe.commit[:7]}"
    if recipe.uncommitted:
        said += f" (not committed, so not used: {', '.join(recipe.uncommitted)})"
    return said


def _train(folder: Path, recipe: Recipe, inputs: Inputs, tree: Path, work: str) -> Turn:
    # Late, as they import MLflow, which takes two seconds.
    from vit.monitoring.published import mark_done, outcome_of
    from vit.monitoring.report import write_report
    from vit.registry.gathered import version_key_in

    name, experiment = recipe.params.register_.name, f"keep-{work[:7]}"
    carry(read_folders(recipe.params), project_root(), tree)
    train(tree, experiment, recipe.commit, inputs.pins, folder / JOB)
    outcome = outcome_of(name, version_key_in(tree))
    report = write_report(tree, outcome, recipe, inputs, experiment, folder)
    mark_done(name, outcome, work, report)
    number, tags = outcome.version.version, outcome.version.tags
    verdict = "is now champion" if outcome.leads else f"leaves version {outcome.champion or 'none'} champion"
    said = f"version {number} of '{name}' {verdict}: {tags.get('gate/outcome', 'not judged')}"
    return Turn("trained", said, experiment, tuple(report))


def _alarm(doing: Doing, failure: Failure | None) -> None:
    """Tell the registry that turns fail, or no longer do; a registry that is away hears it another time."""
    if doing.model is None:
        return
    from vit.monitoring.published import end_alarm, raise_alarm

    with contextlib.suppress(UserError):
        if failure is None:
            end_alarm(doing.model)
        else:
            turns = "a turn" if failure.count == 1 else f"{failure.count} turns"
            raise_alarm(doing.model, f"{turns} of vit keep failed: {failure.error}")
