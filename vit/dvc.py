"""DVC started as a program, in the only place that does so: the pipeline's status and the queue of experiments."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import psutil

from vit import background
from vit.errors import UserError
from vit.files import project_root

QUEUE = Path(".dvc/tmp/exps")  # of DVC 3: its messages, and the output of each run
TASK = re.compile(r"(?P<rev>[0-9a-f]{7})\s+(?P<name>\S*)\s+.*\s(?P<state>Queued|Running|Failed|Success)\s*")
STAGE = re.compile(r"^Running stage '(.+)':", re.M)
EXPERIMENT = re.compile(r"Queued experiment '(.+)' for future execution")


class Busy(UserError):
    """Another DVC command holds the lock of the repo."""


def run(*arguments: str, folder: Path | None = None) -> str:
    """Run `dvc ARGUMENTS` in `folder`, by default the project's root, and return its output.

    Raises UserError with the last line of DVC if it fails, and Busy while another command is at work.
    What DVC starts in turn outlives this process and its terminal.
    """
    # Files instead of pipes: the workers that `dvc queue start` leaves behind would keep pipes open for hours.
    with TemporaryFile() as output, TemporaryFile() as errors:
        done = subprocess.run(
            [sys.executable, "-m", "dvc", *arguments],
            cwd=folder or project_root(),
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            start_new_session=True,
        )
        printed, complained = (_text_of(file) for file in (output, errors))
    if done.returncode:
        if "Unable to acquire lock" in complained or "rwlock" in complained:
            raise Busy(f"dvc {' '.join(arguments)}: another DVC command is at work here; wait until it ends")
        said = (complained or printed).strip().splitlines()
        raise UserError(f"dvc {' '.join(arguments)}: {said[-1] if said else f'exit status {done.returncode}'}")
    return printed


def _text_of(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode("utf-8", errors="replace")


def begin(arguments: Sequence[str], job: Path, root: Path, env: Mapping[str, str] | None = None) -> None:
    """Start `dvc ARGUMENTS` in `root`, where it outlives this process; its output and status are in the folder `job`.

    `env` adds environment variables. Raises UserError if the one that was begun there before still runs.
    """
    ours = {**_environment(), **(env or {})}
    background.begin([sys.executable, "-m", "dvc", *arguments], ["dvc", *arguments], job, root, ours)


def _environment() -> dict[str, str]:
    """This process's, with its own Python first: DVC starts `dvc` for its workers, and `python` for the stages.

    Stages print at once, so that an experiment's log can be read while it runs.
    """
    folders = [str(Path(sys.executable).parent), *os.environ.get("PATH", "").split(os.pathsep)]
    return os.environ | {"PATH": os.pathsep.join(dict.fromkeys(folders)), "PYTHONUNBUFFERED": "1"}


def status() -> dict[str, list]:
    """What changed since the last `dvc repro`, by stage; stages that are up to date are absent."""
    return json.loads(run("status", "--json"))


@dataclass(frozen=True)
class Task:
    """An entry of the queue: the commit that holds its parameters, its name and Queued, Running, Failed or Success."""

    rev: str
    name: str
    state: str


def tasks(folder: Path | None = None) -> list[Task]:
    """The queue as `dvc queue status` prints it, which takes a second or two."""
    lines = run("queue", "status", folder=folder).splitlines()
    return [Task(**match.groupdict()) for line in lines if (match := TASK.fullmatch(line))]


def queue_changes(root: Path) -> frozenset[str]:
    """Something that differs whenever the queue does, in less than a millisecond; only to be compared."""
    folders = (root / QUEUE / "celery" / name for name in ("broker/in", "broker/processed", "result"))
    files = {f"{file.parent.name}/{file.name}" for folder in folders for file in folder.glob("*")}
    # Asking for the status sends messages too.
    return frozenset(name for name in files if name.endswith(".celery.msg") or name.startswith("result/"))


def workers(root: Path) -> int:
    """How many workers of the queue are alive, told in a millisecond by the files where DVC keeps their numbers."""
    count = 0
    for file in (root / QUEUE / "celery").glob("dvc-exp-worker-*.pid"):
        with suppress(OSError, ValueError, psutil.Error):  # it has just begun or ended
            process = psutil.Process(int(file.read_text()))
            count += "queue-worker" in process.cmdline()  # another program may have the number of one that is gone
    return count


def sweep(values: Mapping[str, Sequence[object]]) -> list[str]:
    """`-S key=value` for every key, for `dvc exp run`; several values of a key are a sweep.

    Every value comes out as it is put in: text is quoted for Hydra's grammar, which DVC parses with. Raises UserError
    for text that no quoting saves.
    """
    return [word for key, several in values.items() for word in ("-S", f"{key}={','.join(map(_quoted, several))}")]


def _quoted(value: object) -> str:
    if isinstance(value, str):
        if "${" in value or not value.isprintable():
            raise UserError(f"{value!r} holds '${{' or a control character, which `dvc exp run -S` cannot take")
        escaped = re.sub(r'(\\*)("|$)', lambda end: 2 * end[1] + (r"\"" if end[2] else ""), value)
        return value if re.fullmatch(r"[A-Za-z][\w/-]*", value) and not _is_special(value) else f'"{escaped}"'
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_quoted, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{_key(key)}:{_quoted(one)}' for key, one in value.items())}}}"
    return json.dumps(value)


def _key(name: str) -> str:
    """The grammar has no quotes for the keys of a mapping."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_ ?-]*", name) or _is_special(name):
        raise UserError(f"the name {name!r} cannot be written for `dvc exp run -S`; set the mapping in params.yaml")
    return name


def _is_special(text: str) -> bool:
    return text.lower() in {"null", "true", "false", "nan", "inf", "infinity"}


def queue_command(values: Mapping[str, Sequence[object]], name: str | None = None) -> list[str]:
    """The command that queues one experiment, which may have a `name`, or one per combination of values."""
    named = [] if name is None else ["--name", name]
    return ["dvc", "exp", "run", "--queue", *named, *sweep(values)]


def start_command(jobs: int) -> list[str]:
    """The command that works through the queue, `jobs` experiments at a time."""
    return ["dvc", "queue", "start", "-j", str(jobs)]


def kill_command(names: Iterable[str]) -> list[str]:
    """The command that interrupts running experiments as Ctrl-C does: a training writes a checkpoint first."""
    return ["dvc", "queue", "kill", *names]


def remove_command(names: Iterable[str]) -> list[str]:
    """The command that takes experiments out of the queue."""
    return ["dvc", "queue", "remove", *names]


def execute(command: Sequence[str], folder: Path | None = None) -> str:
    """Run one of these commands, as it is shown. Raises UserError as `run`."""
    program, *arguments = command
    assert program == "dvc"
    return run(*arguments, folder=folder)


def queued_names(output: str) -> list[str]:
    """The names of the experiments that a `queue_command` printed."""
    return EXPERIMENT.findall(output)


def output_of(rev: str, root: Path) -> Path | None:
    """The file with what an experiment of the queue has printed, by the start of its commit; None before it ran."""
    return next((root / QUEUE / "run").glob(f"{rev}*/*.out"), None)


def began(rev: str, root: Path) -> float | None:
    """When an experiment of the queue began to run, in seconds since 1970, as long as it does; None before."""
    with suppress(StopIteration, OSError):
        return next((root / QUEUE / "run").glob(f"{rev}*/*.pid")).stat().st_mtime
    return None


def stage_of(rev: str, root: Path) -> str:
    """The stage that an experiment of the queue runs; empty before the first one."""
    file = output_of(rev, root)
    found = STAGE.findall(file.read_text(encoding="utf-8", errors="replace")) if file else []
    return found[-1] if found else ""


def failure_of(rev: str, root: Path) -> str | None:
    """The line that says why an experiment of the queue failed: the stage's own if it has one, else DVC's."""
    file = output_of(rev, root)
    return failure_in(file.read_text(encoding="utf-8", errors="replace")) if file else None


def failure_in(output: str) -> str | None:
    """The same in what `dvc repro` printed; None if it names no error."""
    lines = output.splitlines()
    of_stage = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    of_dvc = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return next(iter(of_stage[-1:] + of_dvc[-1:]), None)
