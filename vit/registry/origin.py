"""Writing a version's provenance when it is published."""

import os
import shutil
import subprocess
from pathlib import Path

from vit.config.files import DVC_LOCK, DVC_YAML, EVALUATION, PARAMS, PREDICTIONS
from vit.files import write_json

CODE = ("stages", "vit", str(DVC_YAML), str(PARAMS))
ORIGIN, CODE_DIFF = "origin.json", "code.diff"
COPIED = (PARAMS, DVC_LOCK, EVALUATION / PREDICTIONS)
AS_GIT_APPLY_READS_IT = ("--binary", "--full-index", "--no-color", "--no-ext-diff", "--no-textconv", "--unified=3")
PREFIXES = ("--src-prefix=a/", "--dst-prefix=b/")


def write_provenance(folder: Path, origin: dict, environment: Path) -> list[Path]:
    """Write the files to `folder`: copies of `COPIED`, the code diff, and `origin` as JSON.

    `environment` describes the machine of the training; the file is missing if DVC's cache supplied the outputs, and
    the record of an earlier publication then remains.
    """
    folder.mkdir()
    write_json(folder / ORIGIN, origin)
    write_code_diff(folder / CODE_DIFF)
    for file in (*COPIED, *([environment] if environment.is_file() else [])):
        shutil.copyfile(file, folder / file.name)
    return sorted(folder.iterdir())


def origin_of(
    tags: dict[str, str], digests: dict[str, str], raw: dict, scores: dict[str, float], weights: dict[str, dict | None]
) -> dict:
    """Commit, digests of data and weights, and metrics, from the tags of a run, `data/raw.json` and
    `weights_known`."""
    return {
        "commit": tags.get("mlflow.source.git.commit"),
        "dirty": tags.get("git_dirty") == "true",
        "data": {name: raw[name] for name in ("source", "version", "images", "sha256")},
        "digests": digests,
        "weights": {role: known for role, known in weights.items() if known},
        "metrics": scores,
    }


def write_code_diff(path: Path) -> Path:
    """The diff of code and parameters between HEAD and the working tree, including untracked files.

    Empty if nothing has changed or there is no commit. The user's index is neither used nor written.
    """
    if _git("rev-parse", "--verify", "--quiet", "HEAD").returncode:
        path.write_bytes(b"")
        return path
    listed = _git("ls-files", "--others", "--exclude-standard", "-z", "--", *CODE).stdout
    new = [name for name in os.fsdecode(listed).split("\0") if name and not name.endswith("/")]
    changes = [_diff("HEAD", "--", *CODE), *(_diff("--no-index", "--", os.devnull, name) for name in new)]
    path.write_bytes(b"".join(changes))
    return path


def _diff(*arguments: str) -> bytes:
    done = _git("diff", *AS_GIT_APPLY_READS_IT, *PREFIXES, *arguments)
    if done.returncode > 1:  # with --no-index, 1 says that the files differ
        raise OSError(f"git diff {' '.join(arguments)}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def _git(*arguments: str) -> subprocess.CompletedProcess:
    # With optional locks, git would refresh the user's index while reading it.
    return subprocess.run(["git", *arguments], capture_output=True, env=os.environ | {"GIT_OPTIONAL_LOCKS": "0"})
