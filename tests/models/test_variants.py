"""The variants that public models need, in everything that the product does with a Vision Transformer."""

import copy
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from tests.presets import preset
from tests.shapes import shapes, untrained
from vit.errors import UserError
from vit.evaluation.attention import attention_maps, gradient_relevance, pooled
from vit.inference.bfloat16 import convert
from vit.inference.classifier import Classifier
from vit.inference.complexity import cost_of
from vit.inference.export import TOLERANCE, check_parity, to_torch
from vit.inference.summary import model_summary
from vit.models.families import architecture_of
from vit.training.optim import new_optimizers

REGISTERS, PATCHES = 3, 16
VARIANTS = {
    "DINOv2 g": {"init_values": 0.5, "reg_tokens": REGISTERS, "no_embed_class": True, "mlp_layer": "swiglu"},
    "SigLIP": {"pool": "map", "act_layer": "gelu_tanh"},
    "CLIP": {"pre_norm": True, "act_layer": "quick_gelu", "norm_eps": 1e-5},
    "all, by attention": {"pool": "map", "init_values": 0.5, "reg_tokens": 1, "mlp_layer": "swiglu", "pre_norm": True},
}
each = pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)


def classifier_of(folder: Path, **changes) -> Classifier:
    values = {"train.device": "cpu"} | {f"model.{key}": value for key, value in changes.items()}
    classifier = untrained(preset(folder, "shapes", values), shapes(folder, 2))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():  # no parameter is zero or one, which would hide it
        for parameter in classifier.model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    classifier.model.eval()
    return classifier


def pictures(count: int) -> torch.Tensor:
    return torch.randn(count, 1, 8, 8, generator=torch.Generator().manual_seed(1))


@each
def test_the_gradient_reaches_every_parameter_which_lies_in_one_layer_and_one_group(tmp_path, changes):
    params = preset(tmp_path, "shapes", {f"model.{key}": value for key, value in changes.items()})
    model = classifier_of(tmp_path, **changes).model.train()
    F.cross_entropy(model(pictures(4)), torch.arange(4) % 4).backward()
    assert [name for name, one in model.named_parameters() if one.grad is None or not one.grad.any()] == []
    layer_of = architecture_of(model).layer_of
    below = [name for name, _ in model.named_parameters() if layer_of(name, model) == 0]
    assert {name.split(".")[0] for name in below} <= {"cls_token", "reg_token", "pos_embed", "patch_embed", "norm_pre"}
    groups = new_optimizers(model, params.train)[0].param_groups
    decaying = {id(one) for group in groups if group["weight_decay"] for one in group["params"]}
    assert {name for name, one in model.named_parameters() if id(one) in decaying} == {
        name for name, one in model.named_parameters() if one.ndim > 1 and name.endswith("weight")
    }


@each
def test_attention_maps_have_a_row_for_every_token_and_the_head_reads_the_patches(tmp_path, changes):
    model = classifier_of(tmp_path, **changes).model
    x = pictures(2)
    before = model(x)
    maps = attention_maps(model, x)
    tokens = PATCHES + (model.pool == "cls") + changes.get("reg_tokens", 0)
    assert maps.shape == (2, 2, 4, tokens, tokens)
    torch.testing.assert_close(maps.sum(dim=-1), torch.ones(maps.shape[:-1]))
    relevance = gradient_relevance(model, x, torch.tensor([0, 1]))
    assert pooled(relevance, model).shape == (2, PATCHES) and pooled(relevance, model).max() > 0
    assert torch.equal(model(x), before)


@each
def test_served_in_bfloat16_it_gives_nearly_the_same_logits(tmp_path, changes):
    model = classifier_of(tmp_path, **changes).model
    x = pictures(8)
    with torch.inference_mode():
        expected = model(x)
        half = copy.deepcopy(model)
        convert(half)
        given = half(x.bfloat16()).float()
    assert (given - expected).abs().max() < 0.05 * expected.abs().max()
    assert not torch.equal(given, expected)


@pytest.mark.parametrize(
    "changes",
    [
        VARIANTS["all, by attention"],
        {"reg_tokens": REGISTERS, "no_embed_class": True, "init_values": 0.5, "act_layer": "quick_gelu"},
    ],
    ids=["by attention", "by token"],
)
def test_it_is_exported_to_another_program(tmp_path, changes):
    classifier = classifier_of(tmp_path, **changes)
    assert check_parity(classifier, to_torch(classifier)[1]) <= TOLERANCE


@each
def test_it_is_summarized_and_counted(tmp_path, changes):
    classifier = classifier_of(tmp_path, **changes)
    cost = cost_of(classifier.config)
    assert cost.parameters == sum(one.numel() for one in classifier.model.parameters())
    assert f"{cost.parameters:,}" in model_summary(classifier.config).splitlines()[-1]


def test_only_patches_have_a_position_where_the_class_token_has_none(tmp_path):
    model = classifier_of(tmp_path, reg_tokens=REGISTERS, no_embed_class=True).model
    assert model.pos_embed.shape == (1, PATCHES, 32)
    with torch.no_grad():
        before = model.embed(pictures(1))
        model.pos_embed.add_(1)
        difference = model.embed(pictures(1)) - before
    assert not difference[:, : 1 + REGISTERS].any() and torch.allclose(
        difference[:, 1 + REGISTERS :], torch.tensor(1.0)
    )


def test_attention_pooling_does_not_read_registers(tmp_path):
    model = classifier_of(tmp_path, pool="map", reg_tokens=REGISTERS).model
    read = []
    model.attn_pool.register_forward_pre_hook(lambda module, inputs: read.append(inputs[0]))
    model(pictures(2))
    assert read[0].shape == (2, PATCHES, 32)


def test_an_odd_hidden_width_cannot_be_gated(tmp_path):

    with pytest.raises(
        UserError, match=r"mlp_layer 'swiglu' needs an even hidden width, not 33, which is embed_dim 32"
    ):
        preset(tmp_path, "shapes", {"model.mlp_layer": "swiglu", "model.mlp_ratio": 33 / 32})
