"""The data that a turn would train on: what is there now, so that a change is seen, and how a worktree gets it."""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from vit.config.files import FEEDBACK, UNLABELLED
from vit.config.schema import Params
from vit.data.sources.copying import Copier
from vit.data.sources.listing import list_files
from vit.data.sources.newest import newest
from vit.errors import UserError
from vit.files import read_json, sha256_of, write_json

WEIGHTS_FOLDER = Path("weights")


@dataclass(frozen=True)
class Inputs:
    """A `digest` of the data, `pins`: the parameters that fix it, and a phrase for people."""

    digest: str
    pins: dict[str, object]
    said: str


def current_inputs(params: Params, root: Path, tracked: object, hub_branch: str, seen: Path) -> Inputs:
    """The data of `params.data` now, with the folders of the project that the training reads.

    `tracked` is what DVC tracks as data.path; None: the folder is taken as it is. The digests of files are kept in the
    table `seen`, so that only new and changed ones are read. Raises UserError if the source is missing or cannot be
    asked.
    """
    data, known = params.data, KnownFiles(seen)
    pins = newest(data, hub_branch)
    said = [f"{data.source} {value}" for value in pins.values()] or [f"source {data.source}"]
    parts: list[object] = [tracked]
    if data.source == "folder" and tracked is None:
        path = root / data.path
        digest, count = known.digest(path)
        parts.append(digest)
        pins = {"path": str(path)}
        said = [f"{count:,} files in {data.path}"]
    elif tracked is not None:
        said = [f"{data.path}, as DVC tracks it"]
    folders = read_folders(params)
    for folder in folders:
        digest, count = known.digest(root / folder)
        parts.append([folder.as_posix(), digest])
        said.append(f"{count:,} in {folder}")
    known.save()
    versions = {} if data.source == "folder" else pins
    digest = hashlib.sha256(json.dumps([parts, versions], sort_keys=True).encode()).hexdigest()
    return Inputs(digest, {f"data.{key}": value for key, value in pins.items()}, ", ".join(said))


def read_folders(params: Params) -> list[Path]:
    """The folders of the project, beside data.path, that a training with these parameters reads."""
    weights = (params.train.init_from, params.train.teacher)
    wanted = {
        FEEDBACK: params.data.corrections is not None,
        UNLABELLED: params.pretrain.epochs > 0,
        WEIGHTS_FOLDER: any(name is not None and name.startswith(f"{WEIGHTS_FOLDER}/") for name in weights),
    }
    return [folder for folder, is_read in wanted.items() if is_read]


def carry(folders: list[Path], root: Path, tree: Path) -> None:
    """Put the files of the project's `folders` into `tree`: as hard links, or as copies on another file system."""
    copier = Copier()
    for folder in folders:
        for source in (root / folder).rglob("*"):
            target = tree / source.relative_to(root)
            if source.is_dir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            try:
                os.link(source, target)
            except OSError:
                copier.copy(source, target)


class KnownFiles:
    """Digests of files with what the file system said of each: a file of which it still says the same is not read."""

    def __init__(self, table: Path):
        self.table, self.seen = table, _read(table)
        self.known: dict[str, list] = {}

    def digest(self, path: Path) -> tuple[str, int]:
        """One digest over names and bytes of the images and tables below a folder, or of a file; and how many they are.

        Raises UserError if there is none.
        """
        if path.is_file():
            return self._of_file(path), 1
        if not path.is_dir():
            raise UserError(f"{path}: no such folder or archive; if DVC tracks it, `dvc pull` brings it")
        found = list_files(path, path)
        names = sorted([*found.images, *found.tables])
        lines = [f"{name.as_posix()}\0{self._of_file(path / name)}\n" for name in names]
        return hashlib.sha256("".join(lines).encode()).hexdigest(), len(names)

    def save(self) -> None:
        if self.known != self.seen:
            write_json(self.table, self.known)

    def _of_file(self, path: Path) -> str:
        stat = path.stat()
        # Compared for equality only, so a clock that was set back does no harm; ctime tells of a restored mtime.
        state = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
        entry = self.seen.get(str(path))
        digest = entry[-1] if entry and entry[:-1] == state else sha256_of(path)
        self.known[str(path)] = [*state, digest]
        return digest


def _read(table: Path) -> dict[str, list]:
    try:
        return read_json(table)
    except (OSError, ValueError):  # none yet, or cut off: every file is read once more
        return {}
