"""The table of a model's layers: right in its figures, and without a trace in the training."""

import re

import pytest
import torch

from tests.presets import preset
from tests.shapes import Training, shapes, untrained
from tests.training.common import RICH, params_for, same
from vit.inference.complexity import cost_of
from vit.inference.summary import model_summary

MODELS = {
    "vit": {},
    "distilled": {"train.teacher": "somewhere", "train.distillation": "hard"},
    "conv stem": {"model.stem": "conv"},
    "cnn": {"model.name": "cnn"},
    "resnet18": {"model.name": "torchvision/resnet18"},
}


@pytest.fixture(params=MODELS)
def config(request, tmp_path) -> dict:
    return untrained(preset(tmp_path, "shapes", MODELS[request.param]), shapes(tmp_path, 1)).config


def rows(text: str) -> list[tuple[int, str, int, int]]:
    """Of each line below the header: depth of the module, from 0, its name, parameters and multiply-adds."""
    found = []
    for line in text.splitlines()[1:]:
        name, *cells = re.split(r" {2,}", line.strip())
        numbers = [int(cell.replace(",", "")) for cell in cells[-2:] if re.fullmatch(r"[\d,]+", cell)]
        parameters, multiply_adds = numbers if len(numbers) == 2 else (*numbers, 0)
        found.append(((len(line) - len(line.lstrip())) // 2, name, parameters, multiply_adds))
    return found


def test_the_last_line_is_the_cost_that_the_gate_compares(config):
    cost = cost_of(config)
    assert rows(model_summary(config))[-1] == (0, "total", cost.parameters, cost.multiply_adds)


def test_the_modules_of_the_model_add_up_to_it(config):
    *modules, (_, _, parameters, multiply_adds) = rows(model_summary(config))
    outermost = [row for row in modules if row[0] == 0]
    assert sum(row[2] for row in outermost) == parameters
    assert sum(row[3] for row in outermost) == multiply_adds


def test_it_is_the_same_text_again_draws_nothing_at_random_and_leaves_the_default_device(config):
    state = torch.get_rng_state()
    assert model_summary(config) == model_summary(config)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.empty(1).device.type == "cpu"


def test_a_training_with_it_ends_in_the_weights_of_one_without(tmp_path):
    parts = shapes(tmp_path, 10, seed=0), shapes(tmp_path, 4, seed=1)
    params = params_for(tmp_path, **RICH | {"train.epochs": 2})
    weights = Training(params, parts, tmp_path / "without").run().progress.best_weights
    training = Training(params, parts, tmp_path / "with")
    model_summary(training.classifier.config)
    training.run(lambda _: model_summary(training.classifier.config))
    assert same(training.progress.best_weights, weights)


def test_every_figure_of_a_vision_transformer_is_the_one_counted_by_hand(tmp_path):
    changes = {"model.embed_dim": 8, "model.depth": 12, "model.num_heads": 2, "model.mlp_ratio": 2.0}
    changes |= {"model.patch_size": 4, "model.pool": "cls", "model.pos_embed": "learned"}
    config = untrained(preset(tmp_path, "shapes", changes), shapes(tmp_path, 1)).config
    # 4 patches of 16 pixels and the class token are 5 tokens of 8. A block's attention holds 8 * 24 + 24 and 8 * 8 + 8,
    # and takes 5 * (192 + 64) and, for q @ k and attention @ v, 5 * 5 * 8 each; its MLP holds 8 * 16 + 16 + 16 * 8 + 8
    # and takes 5 * 256. The head reads one token for 4 classes.
    assert [line.split() for line in model_summary(config).splitlines()] == [
        line.split()
        for line in f"""
module       type               output  parameters  multiply-adds
cls_token    Parameter          1x1x8   8           0
pos_embed    Parameter          1x5x8   40          0
patch_embed  PatchEmbed         4x8     136         512
  proj       Conv2d                     136
blocks       Sequential                 {12 * 600:,}       {12 * 2960:,}
  0 to 11    12 x Block         5x8     {12 * 600:,}       {12 * 2960:,}
    norm1    12 x LayerNorm     5x8     192         0
    attn     12 x Attention     5x8     {12 * 288:,}       {12 * 1680:,}
    norm2    12 x LayerNorm     5x8     192         0
    mlp      12 x Mlp           5x8     {12 * 280:,}       {12 * 1280:,}
norm         LayerNorm          5x8     16          0
head         Linear             4       36          32
total        VisionTransformer  4       {236 + 12 * 600:,}       {544 + 12 * 2960:,}
""".strip().splitlines()
    ]


def test_blocks_that_differ_have_lines_of_their_own(tmp_path):
    config = untrained(preset(tmp_path, "shapes", MODELS["resnet18"]), shapes(tmp_path, 1)).config
    names = [name for depth, name, *_ in rows(model_summary(config)) if depth == 1]
    assert names == ["0 to 1", *["0", "1"] * 3]  # from the second on, the first block of a layer halves the image
