"""One of the processes that `benchmarks/distributed.py` starts: training steps with and without exchange of gradients.

    torchrun --nproc-per-node 2 -m benchmarks.processes --out times.json

All processes take the same steps at the same time, each on one CPU thread and a batch of its own. Without exchange each
trains a model of its own, so that it has to share cores, caches and memory with the others just as much.
"""

import argparse
import dataclasses
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.contenders import ALONE, Case, Contender, ours
from benchmarks.rows import alternating
from benchmarks.train import geometry
from vit.files import write_json
from vit.training.distributed import World

CASE = geometry("32x32/4, dim 192, depth 6", 32, 4, depth=6, classes=10, batch_size=32)
SEPARATE, ALL_REDUCE = "separate", "all_reduce"
PARALLEL = ("ddp", "fsdp")


def measure(case: Case, world: World, rounds: int, seconds: float) -> dict[str, float]:
    """Milliseconds of a step in the slowest process: of separate trainings and of either kind of data parallelism; and
    of one all-reduce of the gradients alone. Every contender works for about `seconds` in each round."""
    separate = ours(case, ALONE, threads=1)
    contenders = {SEPARATE: separate}
    if world.is_group:
        contenders |= {parallel: ours(case, world, threads=1, parallel=parallel) for parallel in PARALLEL}
        contenders[ALL_REDUCE] = all_reduce(separate, world)
    work = {name: together(contender, world, seconds) for name, contender in contenders.items()}
    return alternating(work, rounds)


def all_reduce(trained: Contender, world: World) -> Contender:
    """Sums as many zeros over all processes as the model has gradients."""
    gradients = torch.zeros(sum(parameter.numel() for parameter in trained.model.parameters()))
    return dataclasses.replace(trained, step=lambda: world.sum(gradients))


def together(contender: Contender, world: World, seconds: float) -> Callable[[], float]:
    """Milliseconds per step of the slowest process, all of which take equally many steps and begin together."""
    contender.milliseconds(2)
    steps = world.broadcast(max(1, round(1000 * seconds / contender.milliseconds(2))))

    def work() -> float:
        world.gather(torch.zeros(1))  # wait for the others
        return float(world.gather(torch.tensor([contender.milliseconds(steps)])).max())

    return work


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure training steps of several processes.")
    parser.add_argument("--out", type=Path, required=True, help="where the first process writes its times as JSON")
    parser.add_argument("--images", type=int, default=CASE.batch_size, help="batch size of each process")
    parser.add_argument("--rounds", type=int, default=5, help="each contender once in every round")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each contender in a round")
    arguments = parser.parse_args()
    case, world = dataclasses.replace(CASE, batch_size=arguments.images), World.from_environment()
    with world.joined(torch.device("cpu")):
        times = measure(case, world, arguments.rounds, arguments.seconds)
    if world.is_first:
        write_json(arguments.out, times)


if __name__ == "__main__":
    main()
