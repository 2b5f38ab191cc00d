"""What the last publication left, so that a repetition that would change nothing ends before MLflow is imported.

A publication depends on the files that it reads, its code, the MLflow that runs it and what the store holds. One that
found nothing to do will find nothing to do as long as all of them are the same. They are compared byte for byte, the
store by the bytes of its database and the names, sizes and times of the version's artifacts: whatever was deleted,
moved or added there differs, and is then looked at with MLflow. A server does not show that, so it has no receipt.
"""

import contextlib
import hashlib
import json
import os
import platform
from collections.abc import Callable, Iterable
from importlib.metadata import version as installed
from pathlib import Path

from vit.config.files import (
    AUDIT,
    CHECKPOINTS,
    DVC_YAML,
    EVALUATION,
    FEATURES,
    MODEL,
    PARAMS,
    PRETRAINED,
    RAW_RECORD,
    SPLIT_METRICS,
    SPLITS,
    TEST_METRICS,
    TRAIN_METRICS,
    TRAINING,
    WEIGHTS_RECORD,
)
from vit.errors import UserError
from vit.files import project_root, read_json, sha256_of, write_json
from vit.tracking import own

RECEIPT = Path(".vit/published.json")  # below the user's repo
FOLDERS = (SPLITS, AUDIT, PRETRAINED, FEATURES, MODEL, TRAINING, EVALUATION)
FILES = (PARAMS, DVC_YAML, RAW_RECORD, WEIGHTS_RECORD, SPLIT_METRICS, TRAIN_METRICS, TEST_METRICS)
CODE = (Path(__file__).parents[1], Path("vit"), Path("stages"))
NOT_YET = ("-journal", "-wal")  # beside a database: what is still to be written to it, or taken back


def said_of_the_same() -> str | None:
    """What the last publication said, if repeating it would change nothing; else None."""
    path = project_root() / RECEIPT
    if not own.is_own() or not path.is_file():
        return None
    try:
        receipt = read_json(path)
        artifacts = [Path(folder) for folder in receipt["artifacts"]]
        # The store first: it most often differs, and the files may be large.
        same = receipt["store"] == store_state(artifacts) and receipt["inputs"] == inputs_state()
        left = (project_root() / CHECKPOINTS / receipt["content_key"]).exists()  # of a training that was repeated
        return receipt["said"] if same and not left else None
    except (OSError, ValueError, KeyError, TypeError):  # damaged, or of another release
        return None


def keep(inputs: str, content_key: str, artifacts: Iterable[str], publish_again: Callable[[], str]) -> None:
    """Publish once more and keep what that says, if it changed nothing in the store.

    `inputs` is the `inputs_state` from before the publication, `artifacts` the URIs of its folders in the store.
    Without a receipt nothing is wrong: the next publication takes longer.
    """
    folders = [own.folder_at(uri) for uri in artifacts]
    present = [folder for folder in folders if folder is not None]
    if not own.is_own() or len(present) < len(folders):
        return
    with contextlib.suppress(OSError, UserError):  # such as another process that writes to the store right now
        before = store_state(present)
        said = publish_again()
        if store_state(present) == before and inputs_state() == inputs:
            receipt = {"said": said, "inputs": inputs, "content_key": content_key, "store": before}
            write_json(project_root() / RECEIPT, receipt | {"artifacts": [str(folder) for folder in present]})


def inputs_state() -> str:
    """A digest of all that a publication reads beside the store."""
    files = {file for folder in FOLDERS for file in folder.rglob("*") if file.is_file()}
    code = {file.resolve() for folder in CODE for file in folder.rglob("*.py")}
    listed = [*sorted({*FILES, *files}), *sorted(code)]
    around = [platform.python_version(), installed("mlflow"), os.environ.get("MLFLOW_EXPERIMENT_NAME", "")]
    return _digest([*around, str(project_root()), *map(str, listed), sha256_of(*listed)])


def store_state(artifacts: Iterable[Path]) -> str:
    """A digest of the repo's own database and of what the folders `artifacts` hold.

    Raises OSError if the database is missing, or a process was stopped while it wrote to it.
    """
    database = own.database()
    for suffix in NOT_YET:
        if database.with_name(database.name + suffix).exists():
            raise BlockingIOError(f"{database} is being written to")
    held = [
        (str(file), file.stat().st_size, file.stat().st_mtime_ns)
        for folder in artifacts
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    ]
    return _digest([sha256_of(database), *map(str, held)])


def _digest(lines: Iterable[str]) -> str:
    return hashlib.sha256(json.dumps(list(lines)).encode()).hexdigest()
