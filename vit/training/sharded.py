"""A model whose weights, gradients and optimizer state are divided among the processes (FSDP2).

Imported only where it is used: the import costs a second.
"""

import torch
from torch import nn
from torch.distributed.checkpoint import state_dict as sharded
from torch.distributed.fsdp import fully_shard
from torch.optim import Optimizer

from vit.models.families import architecture_of

WHOLE = sharded.StateDictOptions(full_state_dict=True, cpu_offload=True)


def shard(model: nn.Module) -> None:
    """Divide each block, then what is left; in place."""
    for block in architecture_of(model).blocks(model):
        fully_shard(block)
    fully_shard(model)


def gather(model: nn.Module, optimizers: list[Optimizer]) -> tuple[dict, dict]:
    """Both state dicts whole on the CPU of the first process, empty elsewhere; every process must call it."""
    return sharded.get_state_dict(model, optimizers, options=WHOLE)


def gather_weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return sharded.get_model_state_dict(model, options=WHOLE)


def scatter(model: nn.Module, optimizers: list[Optimizer], weights: dict, moments: dict) -> None:
    """Load what `gather` gave, of which every process has the whole."""
    sharded.set_state_dict(model, optimizers, model_state_dict=weights, optim_state_dict=moments, options=WHOLE)
