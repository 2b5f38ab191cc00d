"""Growth: seconds and memory of download and split against the number of images, up to a million.

    python -m benchmarks.growth --out benchmarks/scale.json

The images are generated (`tiny_images.py`); both stages run as programs, each in a process of its own.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.rows import report, row
from benchmarks.tiny_images import draw_folder
from vit.config.presets import load_preset
from vit.files import read_json, write_json

REPO = Path(__file__).parent.parent
SIZES = (10_000, 30_000, 100_000)
GOAL_MS, GOAL_MB, LINEAR = 3.0, 1500.0, 1.2
STAGES = ("download", "split")
EVERY = 0.2  # seconds between looks at the memory


@dataclass(frozen=True)
class Cost:
    """Of one program with all its processes: seconds by the clock, seconds of CPU, and MB at most."""

    wall: float
    cpu: float
    memory: float


def cost_of(command: list[str], folder: Path, repo: Path) -> Cost:
    """Run a program; memory is the proportional set size, so that what processes share counts once."""
    began = time.perf_counter()
    environment = os.environ | {"PYTHONPATH": str(repo), "DVC_ROOT": str(folder)}
    with (folder / "output.txt").open("w") as output:
        program = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT)
    peak = [0]
    watch = threading.Thread(target=_watch, args=(program.pid, peak), daemon=True)
    watch.start()
    _, status, used = os.wait4(program.pid, 0)
    program.returncode = os.waitstatus_to_exitcode(status)
    if program.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{(folder / 'output.txt').read_text()}")
    return Cost(time.perf_counter() - began, used.ru_utime + used.ru_stime, peak[0] / 1e6)


def _watch(process: int, peak: list[int]) -> None:
    """Keep the largest sum over a process and its children in `peak`, until it ends."""
    try:
        program = psutil.Process(process)
        while program.is_running() and program.status() != psutil.STATUS_ZOMBIE:
            used = 0
            for one in [program, *program.children(recursive=True)]:
                try:
                    used += one.memory_full_info().pss
                except (psutil.NoSuchProcess, psutil.AccessDenied):
                    continue
            peak[0] = max(peak[0], used)
            time.sleep(EVERY)
    except psutil.NoSuchProcess:
        return


def measured(images: int, scratch: Path, repo: Path) -> tuple[dict[str, Cost], dict[str, int]]:
    """The cost of each stage on so many images, and what the audit found beside what was planted."""
    with tempfile.TemporaryDirectory(dir=scratch) as temporary:
        folder = Path(temporary)
        planted = draw_folder(folder / "source", images)
        params = load_preset("digits").params.model_dump(mode="json", by_alias=True)
        params["data"] |= {"source": "folder", "path": "source"}
        params["split"]["strategy"] = "auto"
        write_json(folder / "params.yaml", params)  # JSON is YAML, too
        costs = {stage: cost_of([sys.executable, "-m", f"stages.{stage}"], folder, repo) for stage in STAGES}
        audit = read_json(folder / "data/audit/audit.json")
        found = {"copies": audit["exact_duplicates"], "groups": audit["near_duplicate_groups"]}
        return costs, {f"{what}_planted": count for what, count in planted.items()} | found


def table(costs: dict[int, dict[str, Cost]]) -> list[dict]:
    """The rows of benchmarks/scale.json."""
    rows = []
    for images, of in costs.items():
        for stage, cost in of.items():
            goal = 1.0 if stage == "split" else None
            case = f"{stage}, {images:,} images"
            rows.append(row(case, 1000 * cost.wall / images, GOAL_MS, "what to reach", "ms an image", goal))
            rows.append(row(f"{case}, CPU", 1000 * cost.cpu / images, GOAL_MS, "what to reach", "ms an image", None))
            rows.append(row(case, cost.memory, GOAL_MB, "what to reach", "MB", goal))
    smallest, *larger = sorted(costs)
    for images in larger:
        for stage in STAGES:
            ours, first = (1000 * costs[count][stage].cpu / count for count in (images, smallest))
            case = f"{stage}, {images:,} against {smallest:,} images, CPU"
            goal = round(1 / LINEAR, 3) if stage == "split" else None
            rows.append(row(case, ours, first, f"{smallest:,} images", "ms an image", goal))
    return rows


def draw(costs: dict[int, dict[str, Cost]], path: Path) -> None:
    """Two panels over the number of images: time an image, and memory."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    sizes = sorted(costs)
    figure, (time_axis, memory_axis) = pyplot.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for stage in STAGES:
        of = [costs[size][stage] for size in sizes]
        (line,) = time_axis.plot(sizes, [1000 * one.wall / n for one, n in zip(of, sizes, strict=True)], "o-")
        line.set_label(f"{stage}, by the clock")
        time_axis.plot(
            sizes,
            [1000 * one.cpu / n for one, n in zip(of, sizes, strict=True)],
            "o:",
            color=line.get_color(),
            label=f"{stage}, CPU",
        )
        memory_axis.plot(sizes, [one.memory for one in of], "o-", color=line.get_color(), label=stage)
    time_axis.set(xscale="log", xlabel="images", ylabel="ms an image", ylim=(0, None), title="Time")
    memory_axis.set(xscale="log", xlabel="images", ylabel="MB, all processes", ylim=(0, None), title="Memory")
    for axis in (time_axis, memory_axis):
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    figure.savefig(path, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure how the cost of download and split grows.")
    parser.add_argument("--out", type=Path, required=True, help="where to write the rows as JSON")
    parser.add_argument("--picture", type=Path, help="where to draw the curves")
    parser.add_argument("--images", type=int, nargs="+", default=SIZES, help="how many images, one or more numbers")
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()), help="a folder on a large disk")
    parser.add_argument("--repo", type=Path, default=REPO, help="another checkout, to measure its code")
    arguments = parser.parse_args()
    costs = {}
    for images in arguments.images:
        costs[images], found = measured(images, arguments.scratch, arguments.repo.resolve())
        print(images, costs[images], found, flush=True)
    report(table(costs), arguments.out)
    if arguments.picture:
        draw(costs, arguments.picture)


if __name__ == "__main__":
    main()
