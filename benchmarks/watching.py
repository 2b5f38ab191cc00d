"""What watching a training on the Studio's Train page costs it, and how long a finished epoch takes to the page.

    python -m benchmarks.watching --out benchmarks/watching.json

Trainings of the preset digits on one thread, in pairs: one while the page with curves, log and attention maps is open
in a browser on the same machine, one while nobody looks; which comes first alternates. Needs chromium.
"""

import argparse
import math
import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Page, sync_playwright

from benchmarks.rows import report
from vit.config.files import CHECKPOINTS
from vit.tracking.progress import newest_checkpoint, trainings
from vit.tracking.watching import curves

ROOT = Path(__file__).resolve().parents[1]
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
STUDENT_T = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 9: 2.262}  # two-sided 95 % by degrees of freedom
GOAL_SECONDS = 2.0  # from a checkpoint to the page


@dataclass(frozen=True)
class Workload:
    """How much is measured."""

    pairs: int = 5
    epochs: int = 30
    preset: str = "digits"


@dataclass(frozen=True)
class Measured:
    """Seconds from the end of the first epoch to the end of the last one, and from checkpoints to the page."""

    seconds: float
    delays: list[float]


def prepared(folder: Path, load: Workload) -> Path:
    """A clone with packed images, in which the train stage can run again and again."""
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
    for command in (["vit", "preset", load.preset, "--force"], ["dvc", "repro", "--quiet", "pack", "weights"]):
        _change(folder, load.epochs)
        subprocess.run([sys.executable, "-m", *command], cwd=folder, env=environment(), check=True)
    _change(folder, load.epochs)
    return folder


def _change(folder: Path, epochs: int) -> None:
    from ruamel.yaml import YAML

    yaml, path = YAML(), folder / "params.yaml"
    values = yaml.load(path)
    values["train"] |= {"epochs": epochs, "threads": 1, "warmup_epochs": 1.0}
    yaml.dump(values, path)


def environment() -> dict[str, str]:
    """Without a store or a root of other projects, and with this Python first."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "DVC_"))}
    return kept | {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}


def train(project: Path, page: Page | None) -> Measured:
    """One whole training from the start; `page` shows it."""
    shutil.rmtree(project / CHECKPOINTS, ignore_errors=True)
    training = subprocess.Popen(
        [sys.executable, "-m", "stages.train"], cwd=project, env=environment(), stdout=subprocess.DEVNULL
    )
    delays = [] if page is None else list(_delays(page, project, training))
    if training.wait():
        raise RuntimeError("the training failed; see its output above")
    (seen,) = trainings(project)
    times = [row["time"] for row in curves(seen)]
    return Measured(times[-1] - times[0], delays)


def _delays(page: Page, project: Path, training: subprocess.Popen) -> Iterator[float]:
    """Seconds between a checkpoint's end and its epoch on the page, as often as one can be told from the next."""
    epochs, last = page.get_by_text("epochs, step"), None
    while training.poll() is None:
        found = trainings(project)
        path = newest_checkpoint(found[0]) if found else None
        if not found or path in (None, last):
            time.sleep(0.02)
            continue
        last = path
        written, count = time.time(), found[0].how_far.get("epochs", 0)
        while training.poll() is None and time.time() < written + 30:
            text = "".join(epochs.all_text_contents()[:1])  # without waiting: the row goes when the training ends
            shown = text.rpartition(": running, ")[2].partition(" of ")[0]
            if shown.isdigit() and int(shown) >= count:
                yield time.time() - written
                break
            time.sleep(0.02)


@contextmanager
def watching(project: Path) -> Iterator[Page]:
    """The Train page with everything that it can show of a training, in a browser."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "vit", "studio", "--port", str(port)],
        cwd=project,
        env=environment(),
        stdout=subprocess.DEVNULL,
    )
    try:
        with sync_playwright() as playwright:
            path = shutil.which("chromium") or shutil.which("google-chrome")
            browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.set_default_timeout(120_000)
            _open(page, f"http://127.0.0.1:{port}/train")
            yield page
            browser.close()
    finally:
        server.terminate()
        server.wait()


def _open(page: Page, address: str) -> None:
    for _ in range(300):
        try:
            page.goto(address)
            break
        except Exception:
            time.sleep(0.2)
    page.get_by_role("heading", name="Train", exact=True, level=1).wait_for()
    page.get_by_role("button", name="Start training").wait_for()


def interval(ratios: list[float]) -> tuple[float, float, float]:
    """Geometric mean of ratios, with its 95 % interval by Student's t."""
    logs = [math.log(ratio) for ratio in ratios]
    mean = statistics.fmean(logs)
    if len(logs) < 2:
        return math.exp(mean), 0.0, math.inf
    half = STUDENT_T[len(logs) - 1] * statistics.stdev(logs) / math.sqrt(len(logs))
    return math.exp(mean), math.exp(mean - half), math.exp(mean + half)


def rows_of(pairs: list[tuple[Measured, Measured]]) -> list[dict]:
    """A row for the cost, watched over unwatched, and one for the delay."""
    mean, low, high = interval([watched.seconds / alone.seconds for watched, alone in pairs])
    delays = sorted(delay for watched, _ in pairs for delay in watched.delays)
    worst = delays[-1] if delays else math.inf
    return [
        {
            "case": f"seconds of a training that is watched, over one that is not; {len(pairs)} pairs",
            "ratio": round(mean, 3),
            "low": round(low, 3),
            "high": round(high, 3) if math.isfinite(high) else None,
            "watched_seconds": [round(watched.seconds, 2) for watched, _ in pairs],
            "alone_seconds": [round(alone.seconds, 2) for _, alone in pairs],
        },
        {
            "case": "seconds from a checkpointed epoch to the page",
            "median": round(statistics.median(delays), 2) if delays else None,
            "worst": round(worst, 2) if delays else None,
            "count": len(delays),
            "goal": GOAL_SECONDS,
            "met": worst <= GOAL_SECONDS,
        },
    ]


def measure(load: Workload) -> list[dict]:
    """All rows."""
    with TemporaryDirectory() as folder:
        project = prepared(Path(folder) / "project", load)
        pairs = []
        for number in range(load.pairs):
            if number % 2:
                alone = train(project, None)
            with watching(project) as page:
                watched = train(project, page)
            if not number % 2:
                alone = train(project, None)
            pairs.append((watched, alone))
        return rows_of(pairs)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what watching a training costs.")
    parser.add_argument("--out", type=Path, required=True, help="where to write the rows as JSON")
    report(measure(Workload()), parser.parse_args().out)


if __name__ == "__main__":
    main()
