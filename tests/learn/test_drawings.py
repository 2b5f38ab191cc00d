"""The captions, masks and boxes of drawings are true of their pixels."""

import torch

from learn.drawings import COLORS, SIZE, drawings


def test_what_the_caption_says_is_where_the_masks_are():
    for drawing in drawings(200, seed=1):
        centers = torch.stack([mask.nonzero().float().mean(0) for mask in drawing.masks])
        (row, column), (other_row, other_column) = centers
        sides = {
            "left of": column < other_column,
            "right of": column > other_column,
            "above": row < other_row,
            "below": row > other_row,
        }
        assert sides[drawing.relation], drawing.caption
        assert drawing.caption.startswith(f"a {drawing.things[0].color} {drawing.things[0].shape} {drawing.relation}")


def test_masks_hold_one_thing_of_its_color_each_and_never_touch_the_border():
    for drawing in drawings(200, seed=2):
        assert not (drawing.masks[0] & drawing.masks[1]).any()
        for mask, thing in zip(drawing.masks, drawing.things, strict=True):
            pixels = drawing.image[:, mask].float()
            assert (pixels == pixels[:, :1]).all(), "one thing has one color"
            assert (pixels[:, 0] - torch.tensor(COLORS[thing.color])).abs().max() <= 21
            assert not mask[[0, -1]].any() and not mask[:, [0, -1]].any()
            assert 20 < mask.sum() < 130


def test_a_box_is_the_least_rectangle_around_its_mask():
    for drawing in drawings(50, seed=3):
        for mask, (top, left, bottom, right) in zip(drawing.masks, drawing.boxes.tolist(), strict=True):
            outside = mask.clone()
            outside[top : bottom + 1, left : right + 1] = False
            assert not outside.any()
            assert mask[top].any() and mask[bottom].any() and mask[:, left].any() and mask[:, right].any()


def test_a_seed_gives_the_same_drawings_and_wanted_leaves_out_the_others():
    assert all(torch.equal(a.image, b.image) for a, b in zip(drawings(5, seed=4), drawings(5, seed=4), strict=True))
    assert drawings(1, seed=5)[0].caption != drawings(1, seed=6)[0].caption
    never = "a red triangle left of"
    assert not any(
        drawing.caption.startswith(never)
        for drawing in drawings(300, seed=7, wanted=lambda drawing: not drawing.caption.startswith(never))
    )
    assert drawings(1, seed=8)[0].image.shape == (3, SIZE, SIZE)
