"""Two towers that learn from captions: their losses by hand, and what counts as the same caption."""

import math

import pytest
import torch

from learn.contrastive import (
    CAPTIONS,
    LOSSES,
    WAYS,
    WORDS,
    Towers,
    fit_towers,
    scene,
    sigmoid_loss,
    softmax_loss,
    tokenize,
)
from learn.drawings import drawings


def test_captions_of_drawings_are_all_known_and_in_the_order_of_their_ways():
    assert len(CAPTIONS) == len(set(CAPTIONS)) == math.prod(WAYS) == 576
    assert all(drawing.caption in CAPTIONS for drawing in drawings(100, seed=1))
    words = tokenize(["a red circle above a blue square"])
    assert [WORDS[index] for index in words[0]] == ["a", "red", "circle", "above", "a", "blue", "square", ""]
    with pytest.raises(ValueError, match="purple"):
        tokenize(["a purple circle above a blue square"])


def test_each_scene_has_exactly_two_captions_and_the_swapped_one_is_another():
    assert scene("a red circle below a blue square") == scene("a blue square above a red circle")
    assert scene("a red circle left of a blue square") != scene("a blue square left of a red circle")
    scenes = [scene(caption) for caption in CAPTIONS]
    assert {scenes.count(one) for one in scenes} == {2}


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_reach_every_parameter_of_both_towers(loss):
    of_logits, log_scale, bias = LOSSES[loss]
    towers = Towers(log_scale, bias)
    made = drawings(4, seed=2)
    logits = towers(torch.stack([drawing.image for drawing in made]), [drawing.caption for drawing in made])
    of_logits(logits, torch.eye(4) > 0).backward()
    without = [name for name, one in towers.named_parameters() if one.grad is None or one.grad.abs().max() < 1e-7]
    assert without == (["bias"] if loss == "softmax" else [])  # a softmax does not change when all its logits rise


def test_logits_are_cosines_times_the_scale_plus_the_bias():
    towers = Towers(math.log(5), -3.0)
    logits = towers(drawings(1, seed=3)[0].image[None].repeat(2, 1, 1, 1), ["a", "red"])
    assert torch.equal(logits[0], logits[1])
    assert ((logits >= -3 - 5.001) & (logits <= -3 + 5.001)).all()
    assert torch.allclose(towers.texts(["a", "red"]).norm(dim=1), torch.ones(2))


def test_losses_of_even_logits_are_those_by_hand():
    even, right = torch.zeros(4, 4), torch.eye(4) > 0
    assert softmax_loss(even, right).item() == pytest.approx(math.log(4))  # one of four, both ways
    assert sigmoid_loss(even, right).item() == pytest.approx(4 * math.log(2))  # four questions per image
    both = torch.ones(2, 2, dtype=torch.bool)
    assert softmax_loss(torch.tensor([[1.0, 1.0], [1.0, 1.0]]), both).item() == pytest.approx(math.log(2))


def test_a_loss_falls_when_a_pair_that_matches_gets_closer():
    logits, right = torch.zeros(3, 3), torch.eye(3) > 0
    for loss in (softmax_loss, sigmoid_loss):
        assert loss(logits + torch.eye(3), right) < loss(logits, right) < loss(logits - torch.eye(3), right)


def test_training_brings_captions_to_their_images_and_moves_the_temperature():
    made = drawings(4, seed=4)
    images, captions = torch.stack([drawing.image for drawing in made]), [drawing.caption for drawing in made]
    towers = fit_towers("softmax", images, captions, batch_size=4, seen=160)
    with torch.no_grad():
        assert towers(images, captions).argmax(dim=1).tolist() == [0, 1, 2, 3]
    assert towers.log_scale.item() != pytest.approx(LOSSES["softmax"][1])
