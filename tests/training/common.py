"""Parameters of small trainings, and what makes two of them the same."""

import torch

from tests.presets import preset
from vit.config.schema import Params

# What keeps a state of its own or draws at random beyond the model and its images.
RICH = {
    "train.augment.mixup": 0.5,
    "train.augment.cutmix": 0.5,
    "train.augment.trivial": 0.5,
    "train.ema_decay": 0.9,
    "train.optimizer": "muon",
    "train.grad_accum_steps": 2,
}

HARD = {"train.teacher": "somewhere", "train.distillation": "hard"}


def params_for(tmp_path, **changes) -> Params:
    """A model 16 wide on the CPU, with everything at random that a training can have."""
    settings = {
        "model.embed_dim": 16,
        "model.drop_rate": 0.1,
        "model.drop_path_rate": 0.2,
        "train.device": "cpu",
        "train.precision": "float32",
        "train.epochs": 4,
        "train.batch_size": 16,
        "train.augment.degrees": 10.0,
        "train.augment.erasing": 0.2,
    }
    return preset(tmp_path, "shapes", settings | changes)


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
