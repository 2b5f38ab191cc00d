"""Programs that outlive whoever started them, one per folder, which keeps command, output and exit status."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
from filelock import FileLock

from vit.errors import UserError
from vit.files import read_json, write_json

RECORD, OUTPUT, STATUS = "job.json", "output.txt", "status.txt"
TAIL = 20_000  # bytes of output that are read
# Waits for the program and writes its exit status; a process of its own, because nobody else may be left to do so.
WAITING = """
import os, subprocess, sys
status, *command = sys.argv[1:]
code = subprocess.call(command)
with open(f"{status}.tmp", "w") as file:
    file.write(str(code))
os.replace(f"{status}.tmp", status)
"""


@dataclass(frozen=True)
class Job:
    """A program that was begun; `status` is None while it runs, and if it was killed."""

    command: list[str]
    is_running: bool
    status: int | None
    output: str

    @property
    def succeeded(self) -> bool:
        return self.status == 0


def begin(command: Sequence[str], shown: Sequence[str], folder: Path, cwd: Path, env: Mapping[str, str]) -> None:
    """Start `command` in a session of its own; `shown` is what a person would type.

    Raises UserError if the program that was begun in `folder` before still runs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "lock"):
        if (job := look(folder)) and job.is_running:
            raise UserError(f"`{' '.join(job.command)}` is still running; wait for it, or stop it")
        (folder / STATUS).unlink(missing_ok=True)
        with (folder / OUTPUT).open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-c", WAITING, str((folder / STATUS).resolve()), *command],
                cwd=cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        created = psutil.Process(process.pid).create_time()
        write_json(folder / RECORD, {"command": list(shown), "pid": process.pid, "created": created})


def look(folder: Path) -> Job | None:
    """The last program begun in `folder`; None if there was none."""
    if not (folder / RECORD).is_file():
        return None
    record, status = read_json(folder / RECORD), folder / STATUS
    running = _process(record) is not None  # before the status, which is written last
    code = int(status.read_text()) if status.is_file() else None
    with (folder / OUTPUT).open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL))
        output = file.read().decode(errors="replace")
    return Job(record["command"], running and code is None, code, output)


def stop(folder: Path) -> None:
    """Interrupt the program as Ctrl-C does, with all that it started."""
    if (folder / RECORD).is_file() and (process := _process(read_json(folder / RECORD))) is not None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)


def _process(record: dict) -> psutil.Process | None:
    """The process of a record, if it is still there and not another one with the same number."""
    try:
        process = psutil.Process(record["pid"])
        same = abs(process.create_time() - record["created"]) < 1
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None
