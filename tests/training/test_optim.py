import math
from functools import partial

import pytest
import torch

from tests.presets import preset
from vit.config.schema import Params, TrainParams
from vit.models.families import architecture_of, new_model
from vit.models.vision_transformer import VisionTransformer
from vit.training.distillation import student_settings
from vit.training.muon import StackedMuon, newton_schulz, orthogonalized
from vit.training.optim import (
    learning_rate,
    new_average,
    new_optimizers,
    set_learning_rate,
    update_average,
)

MATRIX_ENDINGS = ("qkv.weight", "proj.weight", "fc1.weight", "fc2.weight")
MATRICES = ["patch_embed.proj", "attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2", "head", "head_dist"]
DISTILLED = {"train.distillation": "soft", "train.teacher": "somewhere"}


def model_of(params: Params) -> VisionTransformer:
    model = student_settings(params.model, params.train)
    return new_model({"image_size": (8, 8), "channels": 1, "classes": range(4), "model": model})


def decay_by_name(params: Params) -> dict[str, list[float]]:
    """The weight decay of every group that holds a parameter."""
    model = model_of(params)
    groups = [group for optimizer in new_optimizers(model, params.train) for group in optimizer.param_groups]
    return {
        name: [group["weight_decay"] for group in groups if any(parameter is one for one in group["params"])]
        for name, parameter in model.named_parameters()
    }


@pytest.mark.parametrize("norm", ["layernorm", "rmsnorm"])
@pytest.mark.parametrize("pool", ["cls", "avg"])
def test_matrices_alone_decay_and_every_parameter_is_in_one_group(tmp_path, pool, norm):
    changes = {"model.pool": pool, "model.norm": norm, "model.pos_embed": "learned", "train.weight_decay": 0.25}
    changes |= DISTILLED
    decays = decay_by_name(preset(tmp_path, "shapes", changes))
    for name, values in decays.items():
        is_matrix = any(name.endswith(f"{matrix}.weight") for matrix in MATRICES)
        assert values == [0.25 if is_matrix else 0.0], name
    undecayed = {name for name, values in decays.items() if values == [0.0]}
    assert {"dist_token", "pos_embed", *(["cls_token"] if pool == "cls" else [])} <= undecayed
    assert {"head.bias", "blocks.0.attn.qkv.bias", "blocks.1.norm2.weight"} <= undecayed


def test_muon_takes_the_matrices_of_the_blocks_and_adamw_the_rest(tmp_path):
    params = preset(tmp_path, "shapes", {"train.optimizer": "muon"})
    model = model_of(params)
    adamw, muon = new_optimizers(model, params.train)
    assert (type(adamw), type(muon)) == (torch.optim.AdamW, StackedMuon)
    names = {parameter: name for name, parameter in model.named_parameters()}
    theirs = {names[one] for group in muon.param_groups for one in group["params"]}
    assert theirs == {name for name in names.values() if name.startswith("blocks.") and name.endswith(MATRIX_ENDINGS)}
    ours = {names[one] for group in adamw.param_groups for one in group["params"]}
    assert ours == set(names.values()) - theirs
    assert all(
        values == [params.train.weight_decay] for name, values in decay_by_name(params).items() if name in theirs
    )


def test_a_model_without_blocks_has_nothing_for_muon(tmp_path):
    params = preset(tmp_path, "shapes", {"model.name": "cnn", "train.optimizer": "muon"})
    (adamw,) = new_optimizers(model_of(params), params.train)
    assert type(adamw) is torch.optim.AdamW


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_steps_of_stacked_muon_are_those_of_torch(device):
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("this machine has no CUDA device")
    torch.manual_seed(0)
    shapes = [(12, 4), (4, 4), (16, 4), (4, 16), (12, 4), (4, 4)]
    ours = [torch.nn.Parameter(torch.randn(shape, device=device)) for shape in shapes]
    theirs = [torch.nn.Parameter(parameter.detach().clone()) for parameter in ours]
    settings = {"lr": 0.02, "weight_decay": 0.1}
    stacked = StackedMuon(ours, **settings)
    reference = torch.optim.Muon(theirs, adjust_lr_fn="match_rms_adamw", **settings)
    start = [parameter.detach().clone() for parameter in ours]
    for _ in range(5):
        for one, other in zip(ours, theirs, strict=True):
            one.grad = torch.randn_like(one)
            other.grad = one.grad.clone()
        stacked.step()
        reference.step()
    for one, other, before in zip(ours, theirs, start, strict=True):
        moved, expected = one.detach() - before, other.detach() - before
        assert (moved - expected).norm() < 0.02 * expected.norm()  # torch computes in bfloat16


def test_what_muon_makes_of_a_matrix_has_singular_values_near_1():
    torch.manual_seed(0)
    group = torch.optim.Muon([torch.nn.Parameter(torch.zeros(2, 2))]).param_groups[0]
    iterate = partial(newton_schulz, coefficients=group["ns_coefficients"], steps=group["ns_steps"], eps=group["eps"])
    for result in orthogonalized([torch.randn(24, 8), torch.randn(8, 24), torch.randn(24, 8)], iterate):
        values = torch.linalg.svdvals(result)
        assert values.min() > 0.5 and values.max() < 1.5


def test_a_step_of_muon_is_as_long_as_one_of_adamw(tmp_path):
    lengths = {}
    for kind in ("adamw", "muon"):
        params = preset(tmp_path, "shapes", {"train.optimizer": kind, "train.weight_decay": 0.0})
        torch.manual_seed(0)
        model = model_of(params)
        optimizers = new_optimizers(model, params.train)
        weight = model.blocks[0].mlp.fc1.weight
        before = weight.detach().clone()
        for parameter in model.parameters():
            parameter.grad = torch.randn_like(parameter)
        for optimizer in optimizers:
            optimizer.step()
        lengths[kind] = (weight.detach() - before).norm()
    assert 0.1 < lengths["muon"] / lengths["adamw"] < 1.0  # it aims at the 0.2 that AdamW comes to when it has settled


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_the_rate_shrinks_from_layer_to_layer_below_the_head(tmp_path, kind):
    params = preset(
        tmp_path, "shapes", {"train.layer_decay": 0.5, "train.optimizer": kind, "model.depth": 2} | DISTILLED
    )
    model = model_of(params)
    optimizers = new_optimizers(model, params.train)
    set_learning_rate(optimizers, 0.08)
    rates = {
        one: group["lr"] for optimizer in optimizers for group in optimizer.param_groups for one in group["params"]
    }
    lowest = dict.fromkeys(("patch_embed", "pos_embed", "cls_token", "dist_token"), 0.01)
    expected = lowest | {"blocks.0": 0.02, "blocks.1": 0.04}
    for name, parameter in model.named_parameters():
        (rate,) = {rate for start, rate in expected.items() if name.startswith(start)} or {0.08}
        assert rates[parameter] == pytest.approx(rate), name


def test_layers_count_from_the_patches_to_the_head(tmp_path):
    model = model_of(preset(tmp_path, "shapes", {"model.depth": 12}))
    names = ["pos_embed", "patch_embed.proj.weight", "blocks.0.norm1.bias", "blocks.11.attn.qkv.weight", "norm.weight"]
    found = [architecture_of(model).layer_of(name, model) for name in [*names, "fc_norm.bias", "head.weight"]]
    assert found == [0, 0, 1, 12, 13, 13, 13]


def test_the_average_follows_the_weights_at_its_rate(tmp_path):
    params = preset(tmp_path, "shapes", {"train.ema_decay": 0.75})
    model = model_of(params)
    average = new_average(model, params.train)
    bias = model.head.bias
    seen = []
    for value in (4.0, 8.0, 0.0):
        torch.nn.init.constant_(bias, value)
        update_average(average, model)
        seen.append(average.module.head.bias[0].item())
    assert seen == [4.0, 5.0, 3.75]  # the first, then 3/4 of what was and 1/4 of what is
    assert new_average(model, preset(tmp_path, "shapes").train) is None


def test_the_average_has_the_weights_and_buffers_that_pytorch_gives_it(tmp_path):
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.BatchNorm1d(3))
    ours, theirs = (new_average(model, preset(tmp_path, "shapes", {"train.ema_decay": 0.9}).train) for _ in range(2))
    for _ in range(3):
        model(torch.rand(8, 3))  # moves the buffers
        with torch.no_grad():
            model[0].weight.uniform_()
        update_average(ours, model)
        theirs.update_parameters(model)
    assert ours.n_averaged == 3
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict(), atol=0, rtol=0)


def test_a_parameter_without_gradient_shrinks_by_decay_alone(tmp_path):
    params = preset(tmp_path, "shapes", {"train.weight_decay": 0.5, "train.lr": 0.1})
    model = model_of(params)
    (optimizer,) = new_optimizers(model, params.train)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    after = dict(model.named_parameters())
    # AdamW: weight * (1 - lr * weight_decay) = weight * 0.95
    torch.testing.assert_close(after["head.weight"].detach(), before["head.weight"] * 0.95)
    assert torch.equal(after["pos_embed"], before["pos_embed"])


def test_betas_and_rate_come_from_the_parameters(tmp_path):
    params = preset(tmp_path, "shapes", {"train.betas": [0.8, 0.95], "train.lr": 0.003})
    (optimizer,) = new_optimizers(model_of(params), params.train)
    assert [group["betas"] for group in optimizer.param_groups] == [(0.8, 0.95)] * 2
    assert [group["lr"] for group in optimizer.param_groups] == [0.003] * 2


def schedule(tmp_path, **changes) -> TrainParams:
    settings = {"epochs": 10, "lr": 0.8, "min_lr": 0.2, "warmup_epochs": 2} | changes
    return preset(tmp_path, "shapes", {f"train.{key}": value for key, value in settings.items()}).train


def test_the_rate_rises_linearly_falls_along_a_cosine_and_ends_near_its_least(tmp_path):
    train = schedule(tmp_path)
    # 5 steps an epoch: 10 steps of warm-up, then a cosine over 40.
    rates = [learning_rate(step, 5, train) for step in range(50)]
    assert rates[0] == pytest.approx(0.8 / 10)
    assert rates[4] == pytest.approx(0.4)
    assert rates[9] == pytest.approx(0.8)
    assert rates[10] == pytest.approx(0.8)  # the cosine begins at its top
    assert rates[20] == pytest.approx(0.2 + 0.6 * (1 + math.sqrt(0.5)) / 2)  # a quarter: cos(45 degrees)
    assert rates[30] == pytest.approx(0.5)  # half way
    assert rates[49] == pytest.approx(0.2 + 0.6 * (1 + math.cos(math.pi * 39 / 40)) / 2)
    assert rates[49] == pytest.approx(0.2, abs=0.001)
    assert rates[:10] == sorted(rates[:10]) and rates[10:] == sorted(rates[10:], reverse=True)


def test_without_warm_up_the_first_step_has_the_full_rate(tmp_path):
    train = schedule(tmp_path, warmup_epochs=0, min_lr=0.0)
    assert learning_rate(0, 5, train) == 0.8
    assert learning_rate(25, 5, train) == pytest.approx(0.4)


def test_a_part_of_an_epoch_can_warm_up(tmp_path):
    train = schedule(tmp_path, warmup_epochs=0.5)
    # Half of 8 steps are 4.
    assert [learning_rate(step, 8, train) for step in range(5)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8])


def test_warm_up_can_take_the_whole_training(tmp_path):
    train = schedule(tmp_path, warmup_epochs=10)
    assert learning_rate(49, 5, train) == pytest.approx(0.8)
    assert learning_rate(24, 5, train) == pytest.approx(0.4)


def test_one_step_in_all_has_the_full_rate(tmp_path):
    train = schedule(tmp_path, epochs=1, warmup_epochs=0)
    assert learning_rate(0, 1, train) == 0.8
