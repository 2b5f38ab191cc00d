"""Muon for many small matrices: those of one shape are orthogonalized in a stack, by a few large products."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import torch
from torch import Tensor, distributed

from vit.training.recorded import Recorded


class StackedMuon(torch.optim.Muon):
    """What torch.optim.Muon (Jordan et al. 2024) does, with its settings and state, in a third of its time on a CPU.

    Updates are as long as AdamW's whatever `adjust_lr_fn` says (Liu et al. 2025, "Muon is Scalable for LLM Training").
    """

    def __init__(self, params: Iterable, lr: float, weight_decay: float = 0.1, momentum: float = 0.95):
        super().__init__(params, lr, weight_decay, momentum)
        self.recorded: dict[int, Recorded] = {}  # the iteration of a group, on CUDA

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Update every matrix that has a gradient; `closure` is there for the signature alone."""
        for index, group in enumerate(self.param_groups):
            parameters: list[Tensor] = []
            gradients: list[Tensor] = []
            momenta: list[Tensor] = []
            self._init_group(group, parameters, gradients, momenta)
            if not parameters:
                continue
            torch._foreach_lerp_(momenta, gradients, 1 - group["momentum"])
            directions = torch._foreach_lerp(gradients, momenta, group["momentum"])  # Nesterov's
            torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
            updates = orthogonalized(directions, self._iteration(index, parameters[0].device))
            for parameter, update in zip(parameters, updates, strict=True):
                parameter.sub_(update, alpha=0.2 * math.sqrt(max(parameter.shape)) * group["lr"])

    def _iteration(self, index: int, device: torch.device) -> Callable[[Tensor], Tensor]:
        """Newton and Schulz's with the settings of a group; recorded on CUDA, as small products take long to launch."""
        group = self.param_groups[index]
        iterate = partial(
            newton_schulz, coefficients=group["ns_coefficients"], steps=group["ns_steps"], eps=group["eps"]
        )
        if device.type != "cuda" or distributed.is_initialized():
            return iterate
        return self.recorded.setdefault(index, Recorded(iterate))


def orthogonalized(matrices: Sequence[Tensor], iterate: Callable[[Tensor], Tensor]) -> list[Tensor]:
    """Each matrix (m, n) with its singular values brought near 1, as `iterate` does it for stacks (B, m, n), m <= n.

    In float32 on a CPU, where small products in bfloat16 are slow.
    """
    by_shape: dict[tuple[int, int], list[int]] = defaultdict(list)
    for index, matrix in enumerate(matrices):
        by_shape[min(matrix.shape), max(matrix.shape)].append(index)
    results: list[Tensor] = list(matrices)
    for indices in by_shape.values():
        x = torch.stack([_lying(matrices[index]) for index in indices])
        x = iterate(x if x.device.type == "cpu" else x.bfloat16())
        for index, result in zip(indices, x, strict=True):
            results[index] = result if matrices[index].shape == result.shape else result.T
    return results


def _lying(matrix: Tensor) -> Tensor:
    return matrix.T if matrix.shape[0] > matrix.shape[1] else matrix


def newton_schulz(x: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float) -> Tensor:
    """Newton and Schulz's iteration on each matrix of (B, m, n), from a norm of 1 and so no singular value above 1."""
    a, b, c = coefficients
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x
