"""Several processes that train one model: their ranks, their shares of a batch, and their communication.

torchrun starts them and sets each one's rank in environment variables; without those there is a single process.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from vit.errors import UserError

Value = TypeVar("Value")
BACKENDS = {"cpu": "gloo", "cuda": "nccl", "xpu": "xccl"}


@dataclass(frozen=True)
class World:
    """The processes of one training, and the rank of this one."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @classmethod
    def from_environment(cls) -> "World":
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
        return cls(*(int(os.environ.get(name, default)) for name, default in zip(names, (0, 1, 0, 1), strict=True)))

    @property
    def is_group(self) -> bool:
        return self.size > 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes files, logs and reports to MLflow."""
        return self.rank == 0

    @property
    def threads(self) -> int:
        """CPU threads for this process; torchrun sets OMP_NUM_THREADS=1, which would leave cores idle."""
        return torch.get_num_threads() if self.local_size == 1 else max(1, (os.cpu_count() or 1) // self.local_size)

    def share(self, batch: Tensor) -> Tensor:
        """This process's share of a batch; shares differ by at most one element and may be empty."""
        return batch.tensor_split(self.size)[self.rank]

    def bounds(self, count: int) -> slice:
        """The slice of a batch of `count` that `share` returns."""
        share = self.share(torch.arange(count))
        return slice(int(share[0]), int(share[-1]) + 1) if len(share) else slice(0, 0)

    def gather(self, values: Tensor) -> Tensor:
        """`values` of every process, stacked in a new first dimension."""
        if not self.is_group:
            return values[None]
        gathered = [torch.empty_like(values) for _ in range(self.size)]
        dist.all_gather(gathered, values)
        return torch.stack(gathered)

    def broadcast(self, value: Value) -> Value:
        """The first process's value."""
        if not self.is_group:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def copy_from_first(self, values: Tensor) -> None:
        """Overwrite `values` with those of the first process."""
        if self.is_group:
            dist.broadcast(values, src=0)

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all processes, in place."""
        if self.is_group:
            dist.all_reduce(values)
        return values

    @contextmanager
    def joined(self, device: torch.device) -> Iterator[None]:
        """Join the process group for the duration of the block, once all processes have started.

        Raises UserError if the device does not support process groups, or another process exits early.
        """
        if not self.is_group:
            yield
            return
        if device.type not in BACKENDS:
            raise UserError(
                f"{device.type} does not support training with several processes; set train.launcher: python"
            )
        if device.type != "cpu":
            torch.accelerator.set_device_index(device.index or 0)
        dist.init_process_group(BACKENDS[device.type])
        try:
            yield
        except RuntimeError as error:
            if isinstance(error, dist.DistError) or "Connection" in str(error):
                raise UserError(
                    f"process {self.rank} of {self.size} lost contact with another process, whose message says why; "
                    "start the training again to resume from its last checkpoint"
                ) from error
            raise
        finally:
            dist.destroy_process_group()
