"""Muon for many small matrices: matrices of equal shape are stacked and orthogonalized by a few large products."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import torch
from torch import Tensor, distributed

from vit.training.recorded import Recorded


class StackedMuon(torch.optim.Muon):
    """torch.optim.Muon (Jordan et al. 2024) with the same settings and state, in a third of the time on a CPU.

    Updates have AdamW's scale, whatever `adjust_lr_fn` is (Liu et al. 2025, "Muon is Scalable for LLM Training").
    """

    def __init__(self, params: Iterable, lr: float, weight_decay: float = 0.1, momentum: float = 0.95):
        super().__init__(params, lr, weight_decay, momentum)
        self.recorded: dict[int, Recorded] = {}  # iteration per parameter group, on CUDA

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Update every matrix that has a gradient; `closure` is only there for the signature."""
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
        """The Newton-Schulz iteration for a group; on CUDA it is recorded, because launches dominate small products."""
        group = self.param_groups[index]
        iterate = partial(
            newton_schulz, coefficients=group["ns_coefficients"], steps=group["ns_steps"], eps=group["eps"]
        )
        if device.type != "cuda" or distributed.is_initialized():
            return iterate
        return self.recorded.setdefault(index, Recorded(iterate))


def orthogonalized(matrices: Sequence[Tensor], iterate: Callable[[Tensor], Tensor]) -> list[Tensor]:
    """Each matrix (m, n) with singular values close to 1; `iterate` does this for stacks (B, m, n), m <= n.

    Computed in float32 on a CPU, where small bfloat16 products are slow.
    """
    by_shape: dict[tuple[int, int], list[int]] = defaultdict(list)
    for index, matrix in enumerate(matrices):
        by_shape[min(matrix.shape), max(matrix.shape)].append(index)
    results: list[Tensor] = list(matrices)
    for indices in by_shape.values():
        x = torch.stack([_wide(matrices[index]) for index in indices])
        x = iterate(x if x.device.type == "cpu" else x.bfloat16())
        for index, result in zip(indices, x, strict=True):
            results[index] = result if matrices[index].shape == result.shape else result.T
    return results


def _wide(matrix: Tensor) -> Tensor:
    return matrix.T if matrix.shape[0] > matrix.shape[1] else matrix


def newton_schulz(x: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float) -> Tensor:
    """Newton-Schulz iteration on each matrix of (B, m, n), scaled to norm 1, so that no singular value exceeds 1."""
    a, b, c = coefficients
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x
