"""AdamW without decay where decay does harm, and the learning rate as a pure function of the step."""

import math

import torch
from torch import nn

from vit.params import TrainParams


def new_optimizer(model: nn.Module, train: TrainParams) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019) that decays matrices only: no biases, norms, tokens, positions."""
    undecayed = {"cls_token", "pos_embed"}
    named = list(model.named_parameters())
    matrices = [parameter for name, parameter in named if parameter.ndim > 1 and name not in undecayed]
    others = [parameter for name, parameter in named if parameter.ndim <= 1 or name in undecayed]
    groups = [{"params": matrices, "weight_decay": train.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=train.lr, betas=tuple(train.betas), fused=True)


def learning_rate(step: int, steps_per_epoch: int, train: TrainParams) -> float:
    """Learning rate of optimizer step `step` (from 0): linear warm-up, then a cosine down to `min_lr`."""
    warmup = round(train.warmup_epochs * steps_per_epoch)
    total = train.epochs * steps_per_epoch
    if step < warmup:
        return train.lr * (step + 1) / warmup
    progress = (step - warmup) / max(1, total - warmup)
    return train.min_lr + (train.lr - train.min_lr) * (1 + math.cos(math.pi * progress)) / 2
