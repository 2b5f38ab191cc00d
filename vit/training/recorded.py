"""Computations as CUDA graphs: one launch each, as small kernels take longer to launch than to compute."""

import logging
from collections.abc import Callable

import torch
from torch import Tensor, nn

log = logging.getLogger("vit")


class Recorded:
    """`compute` on a CUDA device, recorded with the second tensor of a shape and launched as a whole from then on.

    The results are those of `compute`, to the byte, in memory that the next call with this shape writes to. So are a
    model's gradients, which is why those of a batch's pieces could not be added up. Nothing is recorded where what has
    been in use at once does not fit twice more into what is free on the device: recordings keep their memory.
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
        log.info(f"no CUDA graphs: {used >> 20} MiB have been in use at once, and only {free >> 20} MiB are free")
    return 2 * used < free


def record(compute: nn.Module | Callable[[Tensor], Tensor], x: Tensor) -> Callable[[Tensor], Tensor]:
    """`compute` for tensors like `x`, of a module both passes in the mode it is in.

    What warming up changes, draws and statistics of norms, is put back. Under autocast only if that keeps no casts of
    weights (`cache_enabled=False`).
    """
    torch.autograd.graph.set_warn_on_accumulate_grad_stream_mismatch(False)  # gradients arrive on the recording's
    buffers = [(one, one.clone()) for one in compute.buffers()] if isinstance(compute, nn.Module) else []
    recorded = nn.Sequential(compute) if isinstance(compute, nn.Module) else compute  # its `forward` is replaced
    with torch.random.fork_rng([x.device]):
        launch = torch.cuda.make_graphed_callables(recorded, (x.clone(),))
    for buffer, before in buffers:
        buffer.copy_(before)
    return launch  # pyrefly: ignore[bad-return]  # its stub does not say that one callable in is one callable out
