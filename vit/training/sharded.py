"""A model whose weights, gradients and optimizer state are sharded over processes (FSDP2).

Imported only when used: the import takes a second.
"""

from torch import Tensor, nn
from torch.distributed.checkpoint import state_dict as sharded
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.optim import Optimizer

from vit.models.families import architecture_of

WHOLE = sharded.StateDictOptions(full_state_dict=True, cpu_offload=True)


def shard(model: nn.Module) -> None:
    """Shard each block, then the rest, in place."""
    for block in architecture_of(model).blocks(model):
        fully_shard(block)
    fully_shard(model)


def set_exchange(model: nn.Module, wanted: bool) -> None:
    """Set whether the next backward pass of a sharded model exchanges gradients between processes."""
    if isinstance(model, FSDPModule):
        model.set_requires_gradient_sync(wanted)


def gather(model: nn.Module, optimizers: list[Optimizer]) -> tuple[dict, dict]:
    """Complete state dicts on the CPU of the first process, empty elsewhere; every process must call it."""
    return sharded.get_state_dict(model, optimizers, options=WHOLE)


def gather_weights(model: nn.Module) -> dict[str, Tensor]:
    state = sharded.get_model_state_dict(model, options=WHOLE)
    return {name: weight for name, weight in state.items() if isinstance(weight, Tensor)}


def scatter(model: nn.Module, optimizers: list[Optimizer], weights: dict, moments: dict) -> None:
    """Load the state dicts from `gather`; every process must have them complete."""
    sharded.set_state_dict(model, optimizers, model_state_dict=weights, optim_state_dict=moments, options=WHOLE)
