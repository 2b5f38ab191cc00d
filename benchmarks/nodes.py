"""A Dask scheduler and nodes on this machine: each node is a worker process with an address of its own."""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil

from vit.files import read_json

REPO = Path(__file__).parent.parent
PATIENCE = 60  # seconds
SCHEDULER = "dask scheduler --host 127.0.0.1 --dashboard-address 127.0.0.1:8787"
WORKER = "dask worker tcp://127.0.0.1:8786 --host 127.0.0.1 --dashboard-address 127.0.0.1:0 --nthreads 1 --nworkers 1"


@contextmanager
def cluster(
    folder: Path,
    nodes: int,
    repo: Path = REPO,
    scheduler: str = SCHEDULER,
    worker: str = WORKER,
    **variables: str,
) -> Iterator[tuple[str, list[subprocess.Popen]]]:
    """Yields the address of a scheduler on a free port, and the programs: it and its nodes at 127.0.0.2, 127.0.0.3, ...

    `folder` is where they work, `repo` holds their code. All end with the block.
    """
    env = os.environ | {"PYTHONPATH": str(repo), "PYTHONDONTWRITEBYTECODE": "1"} | variables
    env.pop("VIT_ENGINE", None)
    folder.mkdir(parents=True)
    known = folder / "scheduler.json"
    with ExitStack() as stack:

        def start(command: str, *options: str) -> subprocess.Popen:
            program, *rest = shlex.split(command)
            arguments = [sys.executable, "-m", program, *rest, *options]
            with (folder / f"{len(started)}.log").open("w") as log:
                started.append(
                    subprocess.Popen(
                        arguments, cwd=folder, env=env, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
                    )
                )
            stack.callback(end, started[-1])
            return started[-1]

        started: list[subprocess.Popen] = []
        start(scheduler.replace(":8787", ":0"), "--port", "0", "--scheduler-file", str(known))
        wait_until(known.is_file, started)
        address = read_json(known)["address"]
        command = worker.replace("tcp://127.0.0.1:8786", address)
        for number in range(nodes):
            host = f"127.0.0.{number + 2}"
            start(
                command.replace("--host 127.0.0.1", f"--host {host}"), "--name", host, "--local-directory", str(folder)
            )
        wait_until(lambda: all("Registered to" in log.read_text() for log in logs(folder)[1:]), started)
        yield address, started


def cpu_seconds(programs: Iterable[subprocess.Popen]) -> float:
    """What programs and those that they started have used so far."""
    started = [psutil.Process(program.pid) for program in programs]
    started += [child for one in started for child in one.children(recursive=True)]
    return sum(sum(one.cpu_times()[:2]) for one in started)


def logs(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.log"))


def end(program: subprocess.Popen) -> None:
    """Kill a program with all that it started, like a machine that loses its power."""
    if program.poll() is None:
        os.killpg(program.pid, signal.SIGKILL)
    program.wait()


def wait_until(condition, programs: list[subprocess.Popen]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        for program in programs:
            if program.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{' '.join(program.args)} did not start")
        time.sleep(0.05)
