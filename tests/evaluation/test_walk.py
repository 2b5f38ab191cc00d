"""The walk through a model shows the numbers of its own forward pass."""

import pytest
import torch

from tests.kinds import KINDS, WITH_ATTENTION, classifier_of, images
from vit.evaluation.walk import b16_config, walk
from vit.inference.classifier import Classifier
from vit.inference.complexity import cost_of
from vit.inference.summary import without_memory


@pytest.mark.parametrize("kind", KINDS)
def test_the_walk_ends_in_the_logits_of_the_model_and_costs_as_much(kind):
    classifier, image = classifier_of(kind), images()
    steps = walk(classifier, image[0])
    assert torch.equal(steps[-1].values, classifier.logits(image)[0])
    assert all(step.has_numbers for step in steps)
    assert sum(step.multiply_adds for step in steps) == cost_of(classifier.config).multiply_adds


@pytest.mark.parametrize("kind", WITH_ATTENTION)
def test_each_step_follows_from_the_one_before(kind):
    classifier, image = classifier_of(kind), images()
    model = classifier.model
    steps = {step.name: step.values for step in walk(classifier, image[0])}
    if kind != "conv":
        patch = model.patch_embed.proj
        top_left = steps["pixels"][:, :4, :4].flatten()  # the first patch, cut by hand
        assert torch.equal(steps["patches"][0], top_left)
        first = patch.weight.flatten(1) @ top_left + patch.bias
        torch.testing.assert_close(steps["projection"][0], first)
    tokens = next((values for name, values in steps.items() if name.endswith("token")), steps["projection"])
    torch.testing.assert_close(steps["positions"], tokens + model.pos_embed[0])
    x = steps["positions"][None]
    for number, block in enumerate(model.blocks, 1):
        x = x + block.attn(block.norm1(x))
        torch.testing.assert_close(steps[f"block {number}: attention"], x[0])
        x = x + block.mlp(block.norm2(x))
        torch.testing.assert_close(steps[f"block {number}: MLP"], x[0])
    read = model.norm(x)[:, 0] if model.pool == "cls" else model.fc_norm(x[:, model.prefix :].mean(dim=1))
    torch.testing.assert_close(steps["pooling"], read[0])


def test_the_tokens_of_a_distilled_model_are_named_and_counted():
    steps = {step.name: step.shape for step in walk(classifier_of("distilled"), images()[0])}
    assert steps["projection"] == (16, 16) and steps["class and distillation token"] == (18, 16)


def test_a_walk_without_an_image_has_the_same_shapes_and_costs_and_no_numbers():
    classifier = classifier_of("cls")
    with_numbers, without = walk(classifier, images()[0]), walk(classifier)
    assert [(one.name, one.shape, one.multiply_adds) for one in with_numbers] == [
        (one.name, one.shape, one.multiply_adds) for one in without
    ]
    assert not any(step.has_numbers for step in without)


def test_the_geometry_of_vit_b16_is_that_of_the_paper():
    config = b16_config()
    steps = {step.name: step for step in walk(without_memory(config))}
    assert steps["patches"].shape == (196, 768) and steps["class token"].shape == (197, 768)
    assert steps["logits"].shape == (1000,) and len(steps) == 6 + 2 * 12 + 2 - 1
    assert without_memory(config).parameter_count == 86_567_656  # timm's vit_base_patch16_224
    # 2 N^2 D for the maps and 4 N D^2 for the projections
    assert steps["block 1: attention"].multiply_adds == 2 * 197**2 * 768 + 4 * 197 * 768**2


def test_walking_leaves_the_model_as_it_was():
    classifier: Classifier = classifier_of("cls")
    walk(classifier, images()[0])
    assert not any(module._forward_hooks for module in classifier.model.modules())
