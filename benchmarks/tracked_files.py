"""What DVC itself costs when a stage's output is a folder of many small files, beside one tar of them.

    python -m benchmarks.tracked_files --out benchmarks/tracked_files.json

Each side is a project of its own with the real DVC and two stages: `download` copies a folder of images, or packs it,
as the pipeline's first stage copies `data.path`, and `split` reads the names. All but the two stages' commands is DVC's
work; what the commands take alone stands in a row of its own.
"""

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.rows import report, row
from vit.errors import UserError, run_program

FILES, BYTES, PER_FOLDER = 100_000, 2_500, 1_000
SOURCE = "images"
HALVES = 0.5  # of the folder's seconds: what would justify another unit
PIPELINE = """stages:
  download:
    cmd: {download}
    deps: [{source}]
    outs: [{raw}]
  split:
    cmd: {split}
    deps: [{raw}]
    outs: [names]
"""


@dataclass(frozen=True)
class Unit:
    """What `download` makes, by which command, how `split` lists the files in it, and how to get a copy of them."""

    raw: str
    download: str
    split: str
    unpack: str


FOLDER = Unit("raw", f"cp -r {SOURCE} raw", "find raw -type f > names", "cp -r raw copy")
TAR = Unit("raw.tar", f"tar -cf raw.tar {SOURCE}", "tar -tf raw.tar > names", "mkdir copy && tar -xf raw.tar -C copy")


def draw(folder: Path, files: int) -> None:
    """`files` different files of random bytes, in subfolders as of classes."""
    for first in range(0, files, PER_FOLDER):
        below = folder / f"{first // PER_FOLDER:04}"
        below.mkdir(parents=True)
        random = np.random.default_rng(first)
        for number in range(first, min(first + PER_FOLDER, files)):
            (below / f"{number:07}.jpg").write_bytes(random.bytes(BYTES))


class Spent(NamedTuple):
    """Seconds by the clock, which other programs disturb, and of CPU."""

    wall: float
    cpu: float


def run(project: Path, *command: str) -> Spent:
    """What a command in the project takes. Raises UserError with its last line if it fails."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "GIT_"))}
    kept["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, cwd=project, env=kept, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise UserError(f"`{' '.join(command)}` failed: {(done.stderr.splitlines() or ['no message'])[-1]}")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    return Spent(time.perf_counter() - began, cpu)


def begin(project: Path, unit: Unit, files: int) -> None:
    """A repository of its own, whose cache, and what DVC remembers of files, lie inside it."""
    draw(project / SOURCE, files)
    run(project, "git", "init", "--quiet")
    run(project, "dvc", "init", "--quiet")
    settings = f"[core]\nanalytics = false\ncheck_update = false\nsite_cache_dir = {project / '.site'}\n"
    (project / ".dvc/config").write_text(settings, encoding="utf-8")
    text = PIPELINE.format(source=SOURCE, raw=unit.raw, download=unit.download, split=unit.split)
    (project / "dvc.yaml").write_text(text, encoding="utf-8")


def change_one(project: Path) -> None:
    """One byte more in one of the source's files."""
    first = min((project / SOURCE).rglob("*.jpg"))
    first.write_bytes(first.read_bytes() + b"!")


def remove(project: Path, name: str) -> None:
    path = project / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def costs(project: Path, unit: Unit, files: int, rounds: int) -> dict[str, Spent]:
    """The cost of everything that an ordinary day has; of what can be repeated, the least of `rounds`."""
    begin(project, unit, files)
    spent = {"dvc repro, the first": run(project, "dvc", "repro")}

    def least(once: Callable[[], Spent]) -> Spent:
        return min(once() for _ in range(rounds))

    def after(prepare: Callable[[], None], *command: str) -> Callable[[], Spent]:
        def once() -> Spent:
            prepare()
            return run(project, *command)

        return once

    spent["dvc repro, nothing to do"] = least(lambda: run(project, "dvc", "repro"))
    spent["dvc repro, one file changed"] = least(after(lambda: change_one(project), "dvc", "repro"))
    spent["dvc checkout, all files missing"] = least(after(lambda: remove(project, unit.raw), "dvc", "checkout"))
    remove(project, unit.raw)
    both = f"{unit.download} && {unit.split}"
    spent["the commands of both stages alone"] = run(project, "sh", "-c", both)
    spent["a copy of all files"] = run(project, "sh", "-c", unit.unpack)
    (project / unit.raw).rename(project / f"added_{unit.raw}")
    spent["dvc add"] = run(project, "dvc", "add", "--quiet", f"added_{unit.raw}")
    return spent


def measure(files: int, rounds: int, scratch: Path) -> list[dict]:
    """The folder is ours; a ratio below `HALVES` means that a tar would halve the time."""
    sides = []
    for unit in (FOLDER, TAR):
        with tempfile.TemporaryDirectory(dir=scratch) as temporary:
            sides.append(costs(Path(temporary), unit, files, rounds))
    folder, tar = sides
    rows = []
    for name, ours in folder.items():
        for unit, mine, theirs in zip(("seconds", "seconds of CPU"), ours, tar[name], strict=True):
            one = row(f"{name}, {files:,} files", mine, theirs, "one tar", unit, None)
            rows.append(one | {"tar_halves": theirs <= HALVES * mine})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what DVC costs with many files, and with one tar of them.")
    parser.add_argument("--out", type=Path, required=True, help="where to write the rows as JSON")
    parser.add_argument("--files", type=int, default=FILES, help=f"number of files, of {BYTES} bytes each")
    parser.add_argument("--rounds", type=int, default=3, help="how often each operation is repeated")
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()), help="a folder on a local disk")
    arguments = parser.parse_args()
    report(measure(arguments.files, arguments.rounds, arguments.scratch), arguments.out)


if __name__ == "__main__":
    run_program(main)
