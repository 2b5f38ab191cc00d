"""Optimizers, with weight decay only where it helps, and the learning rate as a pure function of the step."""

import math

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from vit.config.schema import TrainParams
from vit.models.families import architecture_of
from vit.training.muon import StackedMuon

HEAD = "head."  # the names of its weights begin so, in every family with layers


def new_optimizers(model: nn.Module, train: TrainParams) -> list[Optimizer]:
    """AdamW (Loshchilov and Hutter 2019) for everything, or Muon (Jordan et al. 2024) for the matrices in blocks, if
    the model has any, and AdamW for the rest.

    Weight decay applies to matrices, not to biases, norms, tokens or position embeddings. Each group has an `lr_scale`:
    `layer_decay` to the power of the number of layers above it (Clark et al. 2020).
    """
    architecture = architecture_of(model)
    layers = {name: architecture.layer_of(name, model) for name, _ in model.named_parameters()}
    in_blocks = {id(parameter) for block in architecture.blocks(model) for parameter in block.parameters()}
    groups: dict[tuple[bool, float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        is_matrix = parameter.ndim > 1 and name.endswith(
            "weight"
        )  # includes convolution filters, not tokens, positions or layer scale
        is_hidden = is_matrix and id(parameter) in in_blocks
        scale = train.layer_decay ** (max(layers.values()) - layers[name])
        key = (is_hidden and train.optimizer == "muon", train.weight_decay if is_matrix else 0.0, scale)
        groups.setdefault(key, []).append(parameter)
    beta1, beta2 = train.betas
    hidden, others = [], []
    for (by_muon, decay, scale), parameters in groups.items():
        (hidden if by_muon else others).append({"params": parameters, "weight_decay": decay, "lr_scale": scale})
    optimizers: list[Optimizer] = [torch.optim.AdamW(others, lr=train.lr, betas=(beta1, beta2), fused=True)]
    if hidden:
        optimizers.append(StackedMuon(hidden, lr=train.lr))
    return optimizers


def freeze(model: nn.Module, layers: int | str) -> list[nn.Module]:
    """Freeze the lowest `layers`, counted as the model's family does: their parameters get no gradient.

    `all` freezes everything but the head, the last norm too. A distillation token is always trained, because it is new.
    Returns the batch norms in frozen layers; they must stay in eval mode, or training would change their statistics.
    """
    if layers == 0:
        return []
    layer_of = architecture_of(model).layer_of

    def is_frozen(name: str) -> bool:
        return layer_of(name, model) < layers if isinstance(layers, int) else not name.startswith(HEAD)

    for name, parameter in model.named_parameters():
        if is_frozen(name) and name != "dist_token":
            parameter.requires_grad_(False)
    return [module for name, module in model.named_modules() if isinstance(module, _BatchNorm) and is_frozen(name)]


def set_learning_rate(optimizers: list[Optimizer], lr: float) -> None:
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = lr * group["lr_scale"]


def learning_rate(step: int, steps_per_epoch: int, train: TrainParams) -> float:
    """Learning rate of optimizer step `step` (from 0): linear warm-up, then a cosine down to `min_lr`."""
    warmup = round(train.warmup_epochs * steps_per_epoch)
    total = train.epochs * steps_per_epoch
    if step < warmup:
        return train.lr * (step + 1) / warmup
    progress = (step - warmup) / max(1, total - warmup)
    return train.min_lr + (train.lr - train.min_lr) * (1 + math.cos(math.pi * progress)) / 2


def new_average(model: nn.Module, train: TrainParams) -> AveragedModel | None:
    """The exponential moving average of the weights, if `train.ema_decay` is set.

    It includes batch norm's running statistics, as in timm: those of the last step fit only the last weights.
    """
    if train.ema_decay is None:
        return None
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(train.ema_decay), use_buffers=True)


def update_average(average: AveragedModel, model: nn.Module) -> None:
    """Add the weights of `model`, like AveragedModel.update_parameters, which would copy its counter to the device at
    every step after the first and wait for all pending work there."""
    if average.n_averaged == 0 or average.multi_avg_fn is None:
        average.update_parameters(model)
        return
    kept: list[Tensor] = [*average.module.parameters()]
    current: list[Tensor] = [*model.parameters()]
    average.multi_avg_fn(kept, current, average.n_averaged)
    for kept_buffer, buffer in zip(average.module.buffers(), model.buffers(), strict=True):
        average.multi_avg_fn([kept_buffer], [buffer], average.n_averaged)
    average.n_averaged += 1
