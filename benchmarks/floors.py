"""Floors: the least time that a forward pass or a step of training can take on this CPU, and where its time goes.

    python -m benchmarks.floors --out benchmarks/floors.json

The floor has two parts, measured in turns with what it is the floor of. *Products*: every matrix product at its own
shape and precision, alone, in the fastest of several layouts. *Bytes*: every other operator reads and writes its
tensors once, at the speed of a copy of the same size. A program that fused all other operators into the products would
reach the first; one that fuses nothing can at best reach their sum (Williams et al. 2009, "Roofline").
"""

import argparse
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from benchmarks.bare import models, random_images
from benchmarks.contenders import ours
from benchmarks.rows import alternating, report, row
from benchmarks.train import cases

INFERENCE_GOAL = 0.7  # of the speed of the matrix products alone, in bfloat16 at batch 32
LINEAR, ATTENTION, OPTIMIZER, REST = "linear layers", "attention", "clipping and optimizer", "everything else"
KINDS = {
    "aten::mm": LINEAR,
    "aten::addmm": LINEAR,
    "mkldnn::_linear_pointwise": LINEAR,
    "aten::bmm": ATTENTION,
    "aten::baddbmm": ATTENTION,
    "aten::_softmax": ATTENTION,
    "aten::_softmax_backward_data": ATTENTION,
    "aten::_scaled_dot_product_flash_attention_for_cpu": ATTENTION,
    "aten::gelu": "GELU",
    "aten::gelu_backward": "GELU",
    "aten::native_layer_norm": "layer norm",
    "aten::native_layer_norm_backward": "layer norm",
    "aten::copy_": "copies and casts",
    "aten::_to_copy": "copies and casts",
    "aten::clone": "copies and casts",
    "aten::cat": "copies and casts",
    "aten::stack": "copies and casts",
    "aten::add": "sums and scalings",
    "aten::add_": "sums and scalings",
    "aten::mul": "sums and scalings",
    "aten::sum": "sums and scalings",
}
OF_THE_OPTIMIZER = ("Optimizer.", "aten::_foreach_", "aten::_fused_adamw", "aten::linalg_vector_norm")
MOVE_NOTHING = ("aten::empty", "aten::new_empty", "aten::_unsafe_view")
DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}
Product = tuple[torch.dtype, int, int, int, int]  # batch x (M, K) @ (K, N)


@dataclass
class Work:
    """What one call computes, by kind: how often each matrix product, and the bytes of each other operator."""

    products: dict[str, Counter[Product]] = field(default_factory=lambda: defaultdict(Counter))
    moved: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))


def gflop(products: Counter[Product]) -> float:
    """10^9 floating-point operations."""
    return sum(2e-9 * times * batch * m * k * n for (_, batch, m, k, n), times in products.items())


def in_precision(products: Counter[Product], dtype: torch.dtype) -> Counter[Product]:
    converted: Counter[Product] = Counter()
    for (_, *shape), times in products.items():
        converted[dtype, *shape] += times
    return converted


class Recorder(TorchDispatchMode):
    """Fills `work` with the operators of the calls within. Raises ValueError for a product it does not know."""

    def __init__(self):
        super().__init__()
        self.work = Work()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        with self:  # inference mode does not decompose operators by itself
            out = func.decompose(*args, **kwargs)
        if out is not NotImplemented:
            return out
        out = func(*args, **kwargs)
        name = func._schema.name
        if products := _products(name, args, out):
            self.work.products[KINDS[name]].update(products)
        elif func._overloadpacket in flop_registry:
            raise ValueError(f"there is no floor for {name}")
        elif not _is_view(func) and not name.startswith(MOVE_NOTHING):
            tensors = [one for one in tree_leaves((args, kwargs, out)) if isinstance(one, Tensor)]
            self.work.moved[kind_of(name)].append(sum(one.numel() * one.element_size() for one in tensors))
        return out


def _products(name: str, args: tuple, out: object) -> list[Product]:
    if name in ("aten::mm", "aten::bmm", "aten::addmm", "aten::baddbmm"):
        a, b = args[-2:]
        return [(a.dtype, a.shape[0] if a.ndim == 3 else 1, *a.shape[-2:], b.shape[-1])]
    if name == "mkldnn::_linear_pointwise" and isinstance(out, Tensor):
        k, n = args[0].shape[-1], out.shape[-1]
        return [(out.dtype, 1, out.numel() // n, k, n)]
    if name == "aten::_scaled_dot_product_flash_attention_for_cpu":
        B, heads, N, d = args[0].shape
        return [(args[0].dtype, B * heads, N, d, N), (args[0].dtype, B * heads, N, N, d)]
    return []


def _is_view(func: torch._ops.OpOverload) -> bool:
    return any(one.alias_info is not None and not one.alias_info.is_write for one in func._schema.returns)


def kind_of(name: str) -> str:
    return OPTIMIZER if name.startswith(OF_THE_OPTIMIZER) else KINDS.get(name, REST)


def record(run: Callable[[], object]) -> Work:
    with Recorder() as recorder:
        run()
    return recorder.work


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


def milliseconds(run: Callable[[], object], seconds: float) -> float:
    """Per call, over about `seconds` of calls after the first."""
    run()
    calls, began = 0, time.perf_counter()
    while not calls or time.perf_counter() < began + seconds:
        run()
        calls += 1
    return 1000 * (time.perf_counter() - began) / calls


def profiled(run: Callable[[], object], seconds: float) -> dict[str, float]:
    """Milliseconds per call by kind of operator; what no operator accounts for is in REST."""
    calls = max(1, round(1000 * seconds / milliseconds(run, seconds)))
    with profile(activities=[ProfilerActivity.CPU]) as measured:
        began = time.perf_counter()
        for _ in range(calls):
            run()
        passed = 1000 * (time.perf_counter() - began) / calls
    spent: Counter[str] = Counter()
    for event in measured.events():
        name, above = event.name, event
        while above is not None and kind_of(name) != OPTIMIZER:
            name, above = above.name, above.cpu_parent
        kind = OPTIMIZER if kind_of(name) == OPTIMIZER else kind_of(event.name)
        if kind != REST:
            spent[kind] += event.self_cpu_time_total / 1000 / calls
    return dict(spent.most_common()) | {REST: passed - spent.total()}


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
