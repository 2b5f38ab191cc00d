"""A mask for a prompt: tokens that know where they are, attention between two sides, overlap by hand."""

import pytest
import torch

from learn.drawings import drawings
from learn.pointing import PATCH, CrossAttention, Pointer, fit_pointer, ious, mask_loss, sinusoids
from learn.prompts import KINDS, box, click, prompt, prompts_for, words
from vit.models.vision_transformer import sincos2d


def test_a_click_in_the_middle_of_a_patch_has_the_position_of_that_patch():
    assert torch.allclose(Pointer().places, sincos2d((8, 8), 64), atol=1e-6)
    middle = torch.tensor([5 * PATCH + 1.5, 2 * PATCH + 1.5])  # between the pixels 1 and 2 of four
    where = sinusoids((middle + 0.5) / PATCH - 0.5, 64)
    assert torch.allclose(where, sincos2d((8, 8), 64)[5 * 8 + 2], atol=1e-5)


def test_prompts_have_two_tokens_and_only_places_have_a_place():
    pointer = Pointer()
    kinds, places = box(torch.tensor([3, 4, 10, 12]))
    assert [KINDS[kind] for kind in kinds] == ["top left", "bottom right"]
    assert places.tolist() == [[3, 4], [10, 12]]
    tokens = pointer.prompt_tokens([click(1, 1), click(20, 1), prompt("red")])
    assert not torch.equal(tokens[0, 0], tokens[1, 0])
    assert torch.equal(tokens[0, 1], tokens[1, 1])
    assert torch.equal(tokens[2, 0], pointer.kind.weight[KINDS.index("red")])


def test_words_are_true_of_one_thing_alone_and_clicks_are_on_it():
    for drawing in drawings(50, seed=1):
        for index in (0, 1):
            one, other = drawing.things[index], drawing.things[1 - index]
            assert all(word in (one.color, one.shape) for word in words(drawing, index))
            assert not {other.color, other.shape}.intersection(words(drawing, index))
            row, column = prompts_for(drawing, index)["click"][1][0].long().tolist()
            assert drawing.masks[index, row, column]


def test_cross_attention_to_itself_is_the_projects_attention():
    attention = CrossAttention(8, 2, True, 0.0, 0.0)
    x = torch.randn(2, 5, 8)
    same = super(CrossAttention, attention).forward(x)
    assert torch.allclose(attention(x, x), same, atol=1e-6)
    assert attention(x[:, :3], x).shape == (2, 3, 8)


def test_gradients_reach_every_parameter_and_each_image_has_its_own_mask():
    pointer, made = Pointer(), drawings(2, seed=2)
    images = torch.stack([drawing.image for drawing in made])
    asked = [box(made[0].boxes[0]), click(5, 5)]
    logits = pointer(images, asked)
    assert logits.shape == (2, 32, 32)
    assert torch.allclose(pointer(images[:1], asked[:1])[0], logits[0], atol=1e-5)
    mask_loss(logits, torch.stack([drawing.masks[0] for drawing in made])).backward()
    assert not [name for name, one in pointer.named_parameters() if one.grad is None or not one.grad.any()]


def test_the_pixels_of_a_token_are_those_of_its_patch():
    pointer, image = Pointer(), torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    pointer.decoder_blocks = torch.nn.ModuleList()  # tokens do not mix any more
    tokens = pointer.encode(image)
    changed = tokens.clone()
    changed[0, 8 * 3 + 6] += 1  # row 3, column 6 of the grid
    difference = pointer.decode(tokens, [click(0, 0)]) != pointer.decode(changed, [click(0, 0)])
    inside = torch.zeros(32, 32, dtype=torch.bool)
    inside[12:16, 24:28] = True
    assert torch.equal(difference[0], inside)


def test_iou_and_loss_are_those_by_hand():
    mask = torch.zeros(1, 32, 32, dtype=torch.bool)
    mask[0, :2, :2] = True  # 4 pixels
    guess = torch.full((1, 32, 32), -50.0)
    guess[0, :1, :4] = 50  # 4 pixels, 2 of them right: 2 of 6
    assert ious(guess, mask).item() == pytest.approx(1 / 3)
    assert ious(-guess.abs(), mask).item() == 0
    perfect = torch.where(mask, 50.0, -50.0)
    assert mask_loss(perfect, mask).item() == pytest.approx(0, abs=1e-6)
    # Even logits: every pixel costs ln 2, and dice is 1 - 2 * (4 / 2) / (1024 / 2 + 4).
    assert mask_loss(guess * 0, mask).item() == pytest.approx(0.693147 + 1 - 4 / 516, abs=1e-5)


def test_after_a_few_steps_boxes_give_better_masks_than_a_model_that_says_perhaps_everywhere():
    made = drawings(2, seed=3)
    pointer = fit_pointer(made, steps=20, batch_size=4)
    logits = pointer(made[0].image.expand(2, -1, -1, -1), [box(corners) for corners in made[0].boxes])
    assert mask_loss(logits, made[0].masks) < mask_loss(logits * 0, made[0].masks)
