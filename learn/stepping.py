"""A training loop for what is no classifier: any model and any loss, with the pipeline's optimizers and schedule."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from learn.training import recipe
from vit.training.muon import StackedMuon
from vit.training.optim import learning_rate


def descend(model: nn.Module, loss: Callable[[int], Tensor], steps: int, lr: float = 2e-3) -> list[float]:
    """Minimize `loss(step)` for `steps` optimizer steps and return each loss.

    As in the preset, Muon updates the matrices of blocks and AdamW the rest. A tenth of the steps is warm-up.
    Single numbers, such as a temperature, get ten times the rate: they have far to go in a short training.
    """
    torch.set_num_threads(1)
    train = recipe(lr=lr, epochs=10, warmup_epochs=1.0)
    matrices = {name: one for name, one in model.named_parameters() if "blocks." in name and one.ndim == 2}
    others = [one for name, one in model.named_parameters() if name not in matrices]
    muon = StackedMuon(matrices.values(), lr=lr, weight_decay=train.weight_decay)
    adam = torch.optim.AdamW(
        [
            {"params": [one for one in others if one.ndim > 0], "lr_scale": 1.0},
            {"params": [one for one in others if one.ndim == 0], "lr_scale": 10.0},
        ],
        lr=lr,
        betas=(0.9, 0.99),
        weight_decay=0.0,
    )
    losses: list[float] = []
    model.train()
    for step in range(steps):
        rate = learning_rate(step, max(1, steps // 10), train)
        for group in (*muon.param_groups, *adam.param_groups):
            group["lr"] = rate * group.get("lr_scale", 1.0)
        value = loss(step)
        value.backward()
        for optimizer in (muon, adam):
            optimizer.step()
            optimizer.zero_grad()
        losses.append(value.item())
    model.eval()
    return losses
