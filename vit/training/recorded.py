"""Computations as CUDA graphs with a single launch, because small kernels take longer to launch than to run."""

import logging
from collections.abc import Callable

import torch
from torch import Tensor, nn

log = logging.getLogger("vit")


class Recorded:
    """`compute` on a CUDA device, recorded at the second tensor of a shape and launched as one graph from then on.

    Results equal those of `compute` byte for byte, in memory that the next call with this shape overwrites. The same
    holds for a model's gradients, so those of micro-batches could not be accumulated. Nothing is recorded unless twice
    the peak memory so far is free on the device, because recordings keep their memory.
    """

    def __init__(self, compute: nn.Module | Callable[[Tensor], Tensor]):
        self.compute = compute
        self.launches: dict[torch.Size, Callable[[Tensor], Tensor] | None] = {}

    def __call__(self, x: Tensor) -> Tensor:
        if x.shape not in self.launches:
            self.launches[x.shape] = None
        elif self.launches[x.shape] is None:
            self.launches[x.shape] = record(self.compute, x) if _has_room(x.device) else self.compute
        return (self.launches[x.shape] or self.compute)(x)


def _has_room(device: torch.device) -> bool:
    used, (free, _) = torch.cuda.max_memory_allocated(device), torch.cuda.mem_get_info(device)
    if 2 * used >= free:
        log.info(f"no CUDA graphs: peak memory was {used >> 20} MiB, and only {free >> 20} MiB are free")
    return 2 * used < free


def record(compute: nn.Module | Callable[[Tensor], Tensor], x: Tensor) -> Callable[[Tensor], Tensor]:
    """`compute` recorded for tensors like `x`; for a module both passes, in its current mode.

    Random draws and norm statistics that warming up changes are restored. Under autocast it works only without cached
    casts of weights (`cache_enabled=False`).
    """
    torch.autograd.graph.set_warn_on_accumulate_grad_stream_mismatch(
        False
    )  # gradients arrive on the recording's stream
    buffers = [(one, one.clone()) for one in compute.buffers()] if isinstance(compute, nn.Module) else []
    recorded = nn.Sequential(compute) if isinstance(compute, nn.Module) else compute  # its `forward` is replaced
    with torch.random.fork_rng([x.device]):
        launch = torch.cuda.make_graphed_callables(recorded, (x.clone(),))
    for buffer, before in buffers:
        buffer.copy_(before)
    return launch  # pyrefly: ignore[bad-return]  # the stub does not say that one callable gives one callable
