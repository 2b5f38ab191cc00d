"""Frozen layers: what they keep, what goes on being trained, and how a training from weights is resumed."""

import pytest
import torch
from torch import Tensor, nn

from tests.shapes import Training, shapes, untrained
from tests.training.common import RICH, params_for, same
from vit.errors import UserError
from vit.models.families import architecture_of
from vit.training.initial import initialize
from vit.training.optim import freeze


@pytest.fixture
def parts(tmp_path):
    return shapes(tmp_path, 10, seed=0), shapes(tmp_path, 4, seed=1)


def copy_of(model: nn.Module) -> dict[str, Tensor]:
    return {name: weight.clone() for name, weight in model.state_dict().items()}


@pytest.mark.parametrize("frozen", [0, 1, 2, 3])
def test_frozen_layers_stay_byte_for_byte_and_all_others_change(tmp_path, parts, frozen):
    settings = RICH | {"train.frozen_layers": frozen, "train.epochs": 2, "train.weight_decay": 0.5}
    training = Training(params_for(tmp_path, **settings), parts, tmp_path / "key")
    before = copy_of(training.classifier.model)
    training.run()
    after, average = copy_of(training.classifier.model), training.progress.best_weights
    layer_of = architecture_of(training.classifier.model).layer_of
    stays = {name for name in before if layer_of(name, training.classifier.model) < frozen}
    assert {name for name in before if torch.equal(before[name], after[name])} == stays
    assert {name for name in before if torch.equal(before[name], average[name])} == stays
    optimized = sum(len(group["params"]) for one in training.step.optimizers for group in one.param_groups)
    assert optimized == len(before) - len(stays)


class ConvStem(nn.Module):
    """Patches by a convolution with batch norm, (B, 1, 8, 8) to (B, 16, D)."""

    def __init__(self, dim: int):
        super().__init__()
        self.proj = nn.Conv2d(1, dim, kernel_size=2, stride=2)
        self.norm = nn.BatchNorm2d(dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.proj(x)).flatten(2).transpose(1, 2)


@pytest.mark.parametrize("frozen", [0, 1])
def test_a_batch_norm_in_a_frozen_layer_keeps_its_statistics(tmp_path, parts, frozen):
    params = params_for(tmp_path, **{"train.frozen_layers": frozen, "train.epochs": 1})
    classifier = untrained(params, parts[0])
    classifier.model.patch_embed = ConvStem(params.model.embed_dim)
    before = copy_of(classifier.model)
    Training(params, parts, tmp_path / "key", classifier).run()
    after = copy_of(classifier.model)
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        assert torch.equal(before[f"patch_embed.norm.{name}"], after[f"patch_embed.norm.{name}"]) is (frozen == 1)


def test_a_distillation_token_is_trained_above_frozen_patches(tmp_path, parts):
    model = untrained(params_for(tmp_path), parts[0]).model
    model.dist_token = nn.Parameter(torch.zeros(1, 1, 16))
    assert freeze(model, 1) == []
    names = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    assert names == {"cls_token", "pos_embed", "patch_embed.proj.weight", "patch_embed.proj.bias"}


def test_to_freeze_more_than_there_is_below_the_head_is_refused(tmp_path):
    with pytest.raises(
        UserError, match=r"frozen_layers 4 would also freeze the head; the patch embedding and 2 blocks are 3 layers"
    ):
        params_for(tmp_path, **{"train.frozen_layers": 4})


def test_a_training_from_weights_that_was_cut_off_ends_with_the_same_bytes(tmp_path, parts):
    params = params_for(tmp_path, **{"train.frozen_layers": 1, "train.epochs": 3})
    first = untrained(params_for(tmp_path, **{"train.seed": 5}), parts[0])
    first.save(tmp_path / "init", first.model.state_dict())

    def start(name: str) -> Training:
        classifier = untrained(params, parts[0])
        initialize(classifier, tmp_path / "init")
        return Training(params, parts, tmp_path / name, classifier)

    def cut_off(progress) -> None:
        if len(progress.history) == 1:
            raise KeyboardInterrupt

    whole = start("whole").run()
    with pytest.raises(KeyboardInterrupt):
        start("cut").run(cut_off)
    continued = start("cut")
    assert continued.progress.steps == 3
    continued.run()
    assert same(copy_of(whole.classifier.model), copy_of(continued.classifier.model))
    assert torch.equal(continued.classifier.model.pos_embed, first.model.pos_embed)
    assert not torch.equal(continued.classifier.model.head.weight, first.model.head.weight)
