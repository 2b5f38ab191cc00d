"""Floors: the least time that a forward pass or a step of training can take on this CPU, and where its time goes.

    python -m benchmarks.floors --out benchmarks/floors.json

The floor has two parts, measured in turns with what it is the floor of. *Products*: every matrix product at its own
shape and precision, alone, in the fastest of several layouts. *Bytes*: every other operator reads and writes its
tensors once, at the speed of a copy of the same size. A program that fused all other operators into the products would
reach the first; one that fuses nothing can at best reach their sum (Williams et al. 2009, "Roofline").
"""

import argparse
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import torch

from benchmarks.bare import models, random_images
from benchmarks.contenders import ours
from benchmarks.operators import Product, gflop, in_precision, milliseconds, profiled, record
from benchmarks.rows import alternating, report, row
from benchmarks.train import cases

INFERENCE_GOAL = 0.7  # of the speed of the matrix products alone, in bfloat16 at batch 32
DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}


def replay_products(products: Counter[Product], seconds: float) -> Callable[[], None]:
    """Computes all of `products`, each in the way that was fastest when tried for `seconds`."""
    calls = []
    for product, times in products.items():
        ways = _ways(*product)
        calls.append((min(ways, key=lambda way: milliseconds(way, seconds)), times))

    def replay() -> None:
        for call, times in calls:
            for _ in range(times):
                call()

    return replay


def _ways(dtype: torch.dtype, batch: int, m: int, k: int, n: int) -> list[Callable[[], object]]:
    """The product with its second factor row by row, column by column, and, in bfloat16, packed beforehand."""
    a, b, out = (torch.randn(batch, *shape).to(dtype).squeeze(0) for shape in ((m, k), (k, n), (m, n)))
    by_column = b.transpose(-1, -2).contiguous()
    ways = [lambda: torch.matmul(a, b, out=out), lambda: torch.matmul(a, by_column.transpose(-1, -2), out=out)]
    if batch == 1 and dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported():
        packed = torch.ops.mkldnn._reorder_linear_weight(by_column)
        ways.append(lambda: torch.ops.mkldnn._linear_pointwise(a, packed, None, "none", [], ""))
    return ways


def replay_bytes(moved: Iterable[int]) -> Callable[[], None]:
    """Copies as many bytes as each operator reads and writes."""
    halves = [max(1, count // 2) for count in moved]
    source, target = (torch.zeros(max(halves, default=1), dtype=torch.uint8) for _ in range(2))

    def replay() -> None:
        for half in halves:
            target[:half].copy_(source[:half])

    return replay


def floor_rows(
    case: str, run: Callable[[], object], unit: str, goal: float | None, rounds: int, seconds: float
) -> list[dict]:
    """`run` beside its floors, then each kind of operator beside its own; each is measured for `seconds` in a round.

    The ratio is the share of the floor that is reached. The last rows are of the profile, in which every operator takes
    some microseconds more.
    """
    work = record(run)
    every = sum(work.products.values(), Counter[Product]())
    replays = {("products", kind): replay_products(products, seconds / 10) for kind, products in work.products.items()}
    replays |= {("bytes", kind): replay_bytes(moved) for kind, moved in work.moved.items()}
    replays |= {
        ("all", name): replay_products(in_precision(every, dtype), seconds / 10) for name, dtype in DTYPES.items()
    }
    timed = {name: partial(milliseconds, replay, seconds) for name, replay in replays.items()}
    times = alternating({("", ""): partial(milliseconds, run, seconds), **timed}, rounds)
    passed = times["", ""]
    products = sum(time for (part, _), time in times.items() if part == "products")
    moved = sum(time for (part, _), time in times.items() if part == "bytes")
    speeds = [gflop(every) / times["all", name] for name in DTYPES]
    rows = [
        row(case, passed, products, "its matrix products alone", unit, goal),
        row(case, passed, products + moved, "its products, and all bytes once", unit, None),
        row(f"{case}: its products", *speeds, "float32 against bfloat16", "TFLOP/s", None),
    ]
    spent = profiled(run, seconds)
    for kind, taken in spent.items():
        least = sum(times.get((part, kind), 0.0) for part in ("products", "bytes"))
        one = row(f"{case}: {kind}", taken, least, "its floor", unit, None)
        rows.append(one | {"share": round(taken / sum(spent.values()), 3)})
    return rows


def measure(rounds: int, seconds: float) -> list[dict]:
    """Inference of the bare model, then the training steps of `make bench-train`, as ours comes."""
    rows = []
    compared = models()
    for name, batch, goal in (("bfloat16", 32, INFERENCE_GOAL), ("bfloat16", 1, None), ("float32", 32, None)):
        model, dtype = compared[name]
        with torch.inference_mode():
            run = partial(model, random_images(batch).to(dtype))
            rows += floor_rows(f"inference, batch {batch}, {name}", run, "ms/pass", goal, rounds, seconds)
    for case, _ in cases("cpu"):
        contender = ours(case)
        contender.settle()
        rows += floor_rows(f"training, {case.name}", contender.step, "ms/step", None, rounds, seconds)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure inference and training beside their floors, on the CPU.")
    parser.add_argument("--out", type=Path, required=True, help="where to write the rows as JSON")
    parser.add_argument("--rounds", type=int, default=5, help="everything once in every round")
    parser.add_argument("--seconds", type=float, default=0.3, help="of everything in a round")
    arguments = parser.parse_args()
    report(measure(arguments.rounds, arguments.seconds), arguments.out)


if __name__ == "__main__":
    main()
