"""Several processes: what the exchange of gradients adds to a step, by DDP and FSDP2 over gloo, and on paper what it
would add on 8 to 512 GPUs.

    python -m benchmarks.distributed --out benchmarks/distributed.json

Weak scaling keeps the batch of each process, strong scaling that of all. All processes share this machine, so their
number says nothing about speed: every time stands beside that of the same processes without exchange.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from benchmarks.network import GPUS, TRAININGS, Network, paper_rows
from benchmarks.processes import ALL_REDUCE, CASE, PARALLEL, SEPARATE
from benchmarks.rows import alternating, report, row
from vit.config.presets import load_preset
from vit.data.augmentation.changes import draw_changes
from vit.data.seeds import seeded
from vit.errors import UserError, run_program
from vit.files import read_json

PROCESSES = (1, 2, 4)
EACH, TOGETHER = 32, 128  # images per step: of each process in weak scaling, of all in strong scaling
NAMES = {"ddp": "DDP", "fsdp": "FSDP2"}
Times = dict[tuple[int, int], dict[str, float]]  # by processes and images of each, as processes.measure returns them


def timed(processes: int, images: int, rounds: int, seconds: float) -> dict[str, float]:
    """Run `benchmarks.processes` by torchrun. Raises UserError with its last line if it fails."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "times.json"
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
        load = ["--images", str(images), "--rounds", str(rounds), "--seconds", str(seconds)]
        done = subprocess.run(
            [*torchrun, "-m", "benchmarks.processes", *load, "--out", str(out)], stderr=subprocess.PIPE, text=True
        )
        if done.returncode:
            raise UserError(f"{processes} processes failed: {(done.stderr.splitlines() or ['no message'])[-1]}")
        return read_json(out)


def measured_rows(times: Times, cores: int) -> list[dict]:
    """Each kind of data parallelism beside the same processes without exchange; what it adds, beside one all-reduce;
    and the images per second beside those of one process, times the cores that the processes have."""
    rows = []
    for scaling, images in (("weak", lambda processes: EACH), ("strong", lambda processes: TOGETHER // processes)):
        alone = times[1, images(1)][SEPARATE]
        for processes in PROCESSES[1:]:
            each = images(processes)
            of = times[processes, each]
            for parallel in PARALLEL:
                case = f"{scaling} scaling, {processes} processes of {each} images, {NAMES[parallel]}"
                speed = 1000 * processes * each / of[parallel]
                ideal = 1000 * images(1) / alone * min(processes, cores)
                exchange = of[parallel] - of[SEPARATE]
                rows += [
                    row(case, of[parallel], of[SEPARATE], "the same without exchange", "ms/step", None),
                    row(f"{case}: exchange", exchange, of[ALL_REDUCE], "an all-reduce alone", "ms/step", None),
                    row(f"{case}: throughput", speed, ideal, "one process, per core", "images/s", None),
                ]
    return rows


def draw_rows(batches: Iterable[int], rounds: int) -> list[dict]:
    """What every process draws for all images of a batch, also for those of the others, beside a GPU's step."""
    settings = load_preset("cifar10").params.train.augment
    draws = {
        str(count): partial(milliseconds, partial(draw_changes, count, settings, partial(seeded, 0, "changes")))
        for count in batches
    }
    step = TRAININGS[0]
    return [
        row(f"draws for a batch of {count} images", spent, step.step, f"a step of {step.name}", "ms/step", None)
        for count, spent in alternating(draws, rounds).items()
    ]


def milliseconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - began)


def measure(rounds: int, seconds: float) -> list[dict]:
    asked = {(one, EACH) for one in PROCESSES} | {(one, TOGETHER // one) for one in PROCESSES}
    times = {one: timed(*one, rounds, seconds) for one in sorted(asked)}
    rows = measured_rows(times, len(os.sched_getaffinity(0)))
    rows += draw_rows([TRAININGS[0].images * count for count in (1, *GPUS)], rounds)
    return [*rows, *paper_rows(TRAININGS, GPUS, Network())]


def main() -> None:
    parser = argparse.ArgumentParser(description=f"Measure data parallel training of {CASE.name}.")
    parser.add_argument("--out", type=Path, required=True, help="where to write the rows as JSON")
    parser.add_argument("--rounds", type=int, default=5, help="each contender once in every round")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each contender in a round")
    arguments = parser.parse_args()
    report(measure(arguments.rounds, arguments.seconds), arguments.out)


if __name__ == "__main__":
    run_program(main)
