"""What a turn trains with: code and parameters of the current commit.

Not those of the working tree: a scheduled training must not take up an edit that somebody is in the middle of, and what
it publishes must be found again by its commit. Data is taken as it lies in the working tree, because it grows there.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from vit.config.files import DVC_YAML, PARAMS
from vit.config.params_file import checked, flatten, missing_keys, read_yaml
from vit.config.schema import Params
from vit.errors import UserError
from vit.worktrees import CommandFailed, git

PATHS = (str(PARAMS), str(DVC_YAML), "stages", "vit")  # what a training is made by


@dataclass(frozen=True)
class Recipe:
    """Parameters at `commit`, a `digest` of them and of the code, and what of `PATHS` differs in the working tree."""

    commit: str
    params: Params
    digest: str
    uncommitted: list[str]


def committed_recipe(root: Path) -> Recipe:
    """The recipe of the commit checked out at `root`.

    Raises UserError without a commit or a valid params.yaml in it, and if section data of the working tree differs:
    then it is unclear which data to look at.
    """
    try:
        commit = git(root, "rev-parse", "--verify", "HEAD").strip()
        text = git(root, "show", f"{commit}:./{PARAMS}")
        listed = git(root, "ls-tree", commit, "--", *PATHS)
        changed = git(root, "status", "--porcelain", "--", *PATHS).splitlines()
    except CommandFailed as error:
        raise UserError(f"{PARAMS} of the current commit cannot be read ({error}); `git commit` it") from error
    called = Path(f"{PARAMS} of commit {commit[:7]}")
    try:
        values = YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        raise UserError(f"{called}: not valid YAML: {error}") from error
    params = checked(Params, values, called, missing_keys(values))
    _refuse_other_data(params, root, commit)
    digest = hashlib.sha256(listed.encode()).hexdigest()
    return Recipe(commit, params, digest, [line[3:] for line in changed])


def _refuse_other_data(params: Params, root: Path, commit: str) -> None:
    here = flatten({"data": read_yaml(root / PARAMS).get("data", {})})
    committed = flatten({"data": params.data.model_dump()})
    if differing := sorted(key for key in here.keys() | committed if here.get(key) != committed.get(key)):
        raise UserError(
            f"{differing[0]} is {here.get(differing[0])!r} in {PARAMS}, but {committed.get(differing[0])!r} in commit "
            f"{commit[:7]}, and a turn uses what is committed; `git commit {PARAMS}`, or restore it"
        )


def file_at(root: Path, commit: str, path: Path) -> dict | None:
    """The mapping in a YAML file of a commit; None if the commit has no such file."""
    try:
        return YAML(typ="safe", pure=True).load(git(root, "show", f"{commit}:./{path.as_posix()}"))
    except CommandFailed:
        return None
