"""What a model's head reads: the features of the same forward pass that made the prediction."""

import threading

from torch import Tensor, nn


class HeadInput:
    """While it is open it keeps what the head of `model` read last, for each thread that calls the model."""

    def __init__(self, model: nn.Module):
        head = _head_of(model)
        self._seen = threading.local()
        self._hook = None if head is None else head.register_forward_pre_hook(self._keep)

    def last(self) -> Tensor | None:
        """Float32 (B, D) on the CPU, of this thread's last forward pass; None if the model has no linear layer."""
        return getattr(self._seen, "features", None)

    def __deepcopy__(self, memo: dict) -> "HeadInput":
        """A copy of the model, which an explanation makes, reports to this one: what threads keep cannot be copied."""
        return self

    def __enter__(self) -> "HeadInput":
        return self

    def __exit__(self, *error) -> None:
        if self._hook is not None:
            self._hook.remove()

    def _keep(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self._seen.features = inputs[0].detach().float().cpu()


def _head_of(model: nn.Module) -> nn.Module | None:
    linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
    own = getattr(model, "head", None)
    return own if isinstance(own, nn.Linear) else (linear[-1] if linear else None)
