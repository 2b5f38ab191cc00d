"""What a training step costs apart from time: floating-point operations, against the most this machine reaches, and
memory."""

import dataclasses
import multiprocessing
import resource
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.contenders import Case, ours, peer
from vit.training.device import find_device


def step_gflop(case: Case) -> float:
    """10^9 floating-point operations of the matrix products in one step: forward, and twice that backward.

    Counted with the written-out attention, as PyTorch does not count its fused CPU kernel; the same for every
    contender.
    """
    contender = ours(case, attention="math")
    with FlopCounterMode(display=False) as counter:
        contender.step()
    return counter.get_total_flops() / 1e9


def matmul_peak(
    shapes: Iterable[tuple[int, int, int]], dtype: torch.dtype, device: torch.device, seconds: float
) -> float:
    """GFLOP/s of the fastest of several matrix products (M, K) @ (K, N), each repeated for `seconds`."""
    best = 0.0
    for m, k, n in shapes:
        a, b = torch.randn(m, k, device=device, dtype=dtype), torch.randn(k, n, device=device, dtype=dtype)
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            began = time.perf_counter()
            torch.mm(a, b)
            if device.type != "cpu":
                torch.accelerator.synchronize()
            best = max(best, 2e-9 * m * k * n / (time.perf_counter() - began))
    return best


def peak_memory(case: Case, name: str | None, autocast: bool = False, steps: int = 3) -> float:
    """MiB that training takes at most beyond Python, PyTorch and the imports: weights, gradients, optimizer state,
    activations. `name` is a peer's, None for ours. On a CPU in a process of its own, as memory once used stays."""
    if find_device(case.train.device).type != "cpu":
        before = torch.accelerator.memory_allocated()
        torch.accelerator.reset_peak_memory_stats()
        _train(case, name, autocast, steps)
        return (torch.accelerator.max_memory_allocated() - before) / 2**20
    context = multiprocessing.get_context("forkserver")  # forked from a process that has imported but computed nothing
    context.set_forkserver_preload([__name__, "torch._dynamo"])  # the first optimizer would import the latter
    with ProcessPoolExecutor(max_workers=1, mp_context=context) as process:
        return process.submit(_peak_memory_here, case, name, autocast, steps).result()


def _peak_memory_here(case: Case, name: str | None, autocast: bool, steps: int) -> float:
    small = case.model.model_copy(update={"embed_dim": 8, "depth": 1, "num_heads": 1})
    _train(dataclasses.replace(case, model=small, batch_size=1), name, autocast, 1)
    imports = _resident_bytes()
    _train(case, name, autocast, steps)
    return (_resident_bytes() - imports) / 2**20


def _train(case: Case, name: str | None, autocast: bool, steps: int) -> None:
    contender = ours(case) if name is None else peer(case, name, autocast)
    contender.milliseconds(steps)


def _resident_bytes() -> int:
    """The most memory that this process has held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
