"""Waiting: how long the commands of an ordinary day take in a repo after `dvc repro`, beside what no change can save.

    python -m benchmarks.waiting --out benchmarks/waiting.json

Each is measured in turns with its floor: the library that it has to import, DVC without the stage that always runs, an
MLflow model that does nothing but import torch. Seconds that pass are compared with the goal, seconds of CPU, which
other programs disturb less, with the floor.
"""

import argparse
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import psutil

from benchmarks.rows import report, row
from vit.config.files import RAW
from vit.errors import UserError, run_program

PORT = 5077
PATIENCE = 120  # seconds for a server to answer
EMPTY = """import mlflow
import torch


class Empty(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return model_input


mlflow.models.set_model(Empty())
"""


@dataclass(frozen=True)
class Spent:
    """Seconds that passed, and seconds of CPU of a program and all that it started."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class Case:
    """A program, the floor beside it, what that is, and the goal in seconds that pass."""

    name: str
    ours: Callable[[], Spent]
    floor: Callable[[], Spent]
    floor_name: str
    goal: float


def finished(*command: str) -> Callable[[], Spent]:
    """Run a program to its end."""

    def run() -> Spent:
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        spent = _cpu_until(process, lambda: process.poll() is not None)
        if process.returncode:
            raise UserError(f"`{' '.join(command)}` failed with status {process.returncode}")
        return Spent(time.perf_counter() - began, spent)

    return run


def ready(model: str) -> Callable[[], Spent]:
    """Start `mlflow models serve` and wait until it answers."""

    def run() -> Spent:
        began = time.perf_counter()
        command = ["mlflow", "models", "serve", "-m", model, "--env-manager", "local", "--port", str(PORT)]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            spent = _cpu_until(server, lambda: _answers(began, server))
            return Spent(time.perf_counter() - began, spent)
        finally:
            started = [*psutil.Process(server.pid).children(recursive=True), server]
            for process in started:
                process.terminate()
            server.wait(timeout=PATIENCE)
            psutil.wait_procs([one for one in started if isinstance(one, psutil.Process)], timeout=PATIENCE)

    return run


def _answers(began: float, server: subprocess.Popen) -> bool:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{PORT}/ping", timeout=5).close()
        return True
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        if server.poll() is not None or time.perf_counter() - began > PATIENCE:
            raise UserError(f"the server did not answer; is port {PORT} free?") from None
        return False


def _cpu_until(process: subprocess.Popen, done: Callable[[], bool]) -> float:
    """Seconds of CPU of a process and its descendants, as last seen before `done`."""
    root = psutil.Process(process.pid)
    seen: dict[tuple[int, float], float] = {}
    while not done():
        try:
            for one in (root, *root.children(recursive=True)):
                times = one.cpu_times()
                seen[one.pid, one.create_time()] = times.user + times.system
        except psutil.Error:  # it has just ended
            pass
        time.sleep(0.02)
    return sum(seen.values())


def cases(empty: Path) -> list[Case]:
    """The programs; `empty` is the folder of the model that does nothing."""
    image = next((path for path in sorted(RAW.rglob("*")) if path.is_file()), None)
    if image is None or not Path("mlflow.db").is_file():
        raise UserError(f"there is no champion of this repo (no {RAW} or no mlflow.db); run `dvc repro`")
    python, vit = sys.executable, (sys.executable, "-m", "vit")
    torch, mlflow = (finished(python, "-c", f"import {name}") for name in ("torch", "mlflow"))
    trace = finished(*vit, "registry", "trace", "models:/vit@champion")
    return [
        Case("vit predict, one image", finished(*vit, "predict", str(image)), torch, "import torch", 3.0),
        Case("vit registry list", finished(*vit, "registry", "list"), mlflow, "import mlflow", 2.2),
        Case("vit registry trace", trace, mlflow, "import mlflow", 2.2),
        Case(
            "dvc repro, nothing to do",
            finished("dvc", "repro"),
            finished("dvc", "repro", "evaluate"),
            "dvc repro evaluate",
            3.0,
        ),
        Case(
            "mlflow models serve, ready",
            ready("models:/vit@champion"),
            ready(str(empty)),
            "a model that only imports torch",
            6.0,
        ),
    ]


def rows_of(case: Case, ours: Sequence[Spent], floor: Sequence[Spent]) -> list[dict]:
    """The seconds that pass against the goal, and those of CPU against the floor."""
    wall, cpu = (median(getattr(one, kind) for one in ours) for kind in ("wall", "cpu"))
    least = median(one.cpu for one in floor)
    return [
        row(case.name, wall, case.goal, "what to reach", "seconds", 1),
        row(case.name, cpu, least, case.floor_name, "seconds of CPU", None),
    ]


def measure(rounds: int) -> list[dict]:
    with tempfile.TemporaryDirectory() as folder:
        rows = []
        for case in cases(_empty_model(Path(folder))):
            case.ours()  # the first may write what later ones read
            pairs = [(case.ours(), case.floor()) for _ in range(rounds)]
            rows += rows_of(case, *zip(*pairs, strict=True))
        return rows


def _empty_model(folder: Path) -> Path:
    (folder / "empty.py").write_text(EMPTY)
    script = "import mlflow, sys; mlflow.pyfunc.save_model(sys.argv[1], python_model=sys.argv[2], pip_requirements=[])"
    subprocess.run([sys.executable, "-c", script, folder / "model", folder / "empty.py"], check=True)
    return folder / "model"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="times that each program is started")
    parser.add_argument("--out", type=Path, required=True, help="file to write")
    arguments = parser.parse_args()
    report(measure(arguments.rounds), arguments.out)


if __name__ == "__main__":
    run_program(main)
