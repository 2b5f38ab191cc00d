"""Scaling: seconds per training epoch against the number of images, and peak memory against the batch size, each beside
the straight line through all points.

    python -m benchmarks.scaling --out benchmarks/scaling.json

The model and its training are those of presets/tom_and_jerry.yaml, the images random.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.contenders import Case, new_classifier, preset_case
from benchmarks.rows import alternating, print_table
from benchmarks.work import peak_memory
from vit.data.batches import Packed
from vit.files import write_json
from vit.training.device import apply, choose
from vit.training.distributed import World
from vit.training.feed import Feed
from vit.training.step import TrainingStep

PRESET = "tom_and_jerry"


@dataclass(frozen=True)
class Workload:
    """How much is measured."""

    images: tuple[int, ...] = (500, 1000, 2000, 4000)
    batch_sizes: tuple[int, ...] = (16, 32, 64, 128, 256)
    rounds: int = 3  # of epochs; memory is measured once


def epoch(case: Case, count: int) -> Callable[[], float]:
    """Seconds for the steps over `count` random images, augmented as the preset says."""
    compute, _ = choose(case.train, case.model, case.image_size, World())
    classifier = new_classifier(case, compute)
    step = TrainingStep(classifier.model.train(), case.train, compute, World())
    draws = torch.Generator().manual_seed(0)
    images = torch.randint(256, (count, *case.image_size, case.channels), dtype=torch.uint8, generator=draws)
    part = Packed(images, torch.randint(case.classes, (count,), generator=draws))
    feed = Feed(classifier, part.on_device(classifier.device), case.train, World())

    def work() -> float:
        apply(compute)
        began = time.perf_counter()
        for batch_size, pieces in feed.epoch(0):
            step(pieces, batch_size, case.train.lr)
        if classifier.device.type != "cpu":
            torch.accelerator.synchronize()
        return time.perf_counter() - began

    return work


def beside_a_line(values: dict[int, float], count: str, unit: str) -> list[dict]:
    """A row per measured value with the least-squares line's, and their difference in per cent of the latter."""
    line = np.poly1d(np.polyfit(list(values), list(values.values()), deg=1))
    return [
        {
            count: number,
            unit: round(value, 3),
            f"{unit}_per_1000": round(1000 * value / number, 3),
            "line": round(line(number), 3),
            "off_line_percent": round(100 * (value / line(number) - 1), 1),
        }
        for number, value in values.items()
    ]


def measure(case: Case, load: Workload) -> dict[str, list[dict]]:
    """Both tables, as rows."""
    epochs = {str(count): epoch(case, count) for count in load.images}
    for work in epochs.values():
        work()
    seconds = {int(count): value for count, value in alternating(epochs, load.rounds).items()}
    memory = {size: peak_memory(replace(case, batch_size=size), None) for size in load.batch_sizes}
    return {
        "time": beside_a_line(seconds, "images", "seconds"),
        "memory": beside_a_line(memory, "batch_size", "mib"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure how training scales.")
    parser.add_argument("--out", type=Path, required=True, help="where to write the tables as JSON")
    arguments = parser.parse_args()
    tables = measure(preset_case(PRESET), Workload())
    write_json(arguments.out, tables)
    for rows in tables.values():
        print_table(rows)
        print()


if __name__ == "__main__":
    main()
