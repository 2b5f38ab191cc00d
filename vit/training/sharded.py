"""A model whose weights, gradients and optimizer state are divided among the processes (FSDP2).

Imported only where it is used: the import costs a second.
"""

from torch import Tensor, nn
from torch.distributed.checkpoint import state_dict as sharded
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.optim import Optimizer

from vit.models.families import architecture_of

WHOLE = sharded.StateDictOptions(full_state_dict=True, cpu_offload=True)


def shard(model: nn.Module) -> None:
    """Divide each block, then what is left; in place."""
    for block in architecture_of(model).blocks(model):
        fully_shard(block)
    fully_shard(model)


def set_exchange(model: nn.Module, wanted: bool) -> None:
    """Whether the next backward pass of a divided model exchanges gradients among the processes."""
    if isinstance(model, FSDPModule):
        model.set_requires_gradient_sync(wanted)


def gather(model: nn.Module, optimizers: list[Optimizer]) -> tuple[dict, dict]:
    """Both state dicts whole on the CPU of the first process, empty elsewhere; every process must call it."""
    return sharded.get_state_dict(model, optimizers, options=WHOLE)


def gather_weights(model: nn.Module) -> dict[str, Tensor]:
    state = sharded.get_model_state_dict(model, options=WHOLE)
    return {name: weight for name, weight in state.items() if isinstance(weight, Tensor)}


def scatter(model: nn.Module, optimizers: list[Optimizer], weights: dict, moments: dict) -> None:
    """Load what `gather` gave, of which every process has the whole."""
    sharded.set_state_dict(model, optimizers, model_state_dict=weights, optim_state_dict=moments, options=WHOLE)
