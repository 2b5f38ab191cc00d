"""DINO's teacher is an exact average, its targets follow from numbers, and only the student learns."""

import math

import pytest
import torch
from torch import nn

from learn.dino import Dino, entropies, features, momentum_at
from vit.models.vision_transformer import VisionTransformer

GRID = (4, 4)


def backbone(side: int = 16, **changes) -> VisionTransformer:
    """A small model on images (3, side, side) in patches of 4, which answers with features (B, 8)."""
    torch.manual_seed(0)
    shape = {"embed_dim": 8, "depth": 1, "num_heads": 2, "mlp_ratio": 2.0, "qkv_bias": True, "norm": "layernorm"}
    rates = dict.fromkeys(("drop_rate", "attn_drop_rate", "drop_path_rate"), 0.0)
    names = {"patch_size": 4, "in_chans": 3, "num_classes": 2, "pool": "cls", "pos_embed": "learned"} | changes
    model = VisionTransformer(image_size=(side, side), **shape, **rates, **names)
    model.head = nn.Identity()
    return model


@pytest.fixture
def dino() -> Dino:
    return Dino(backbone(), GRID, codes=5)


@pytest.fixture
def views() -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(3, 3, side, side, generator=generator) for side in (16, 16)], [
        torch.randn(3, 3, 8, 8, generator=generator)
    ]


def test_the_teacher_is_the_exact_moving_average_of_the_student(dino):
    start = [weight.clone() for weight in dino.student.parameters()]
    assert all(torch.equal(*pair) for pair in zip(dino.teacher.parameters(), start, strict=True))
    for momentum, moved_by in ((0.9, 1.0), (0.8, 3.0)):
        for weight, began in zip(dino.student.parameters(), start, strict=True):
            weight.data = began + moved_by
        dino.follow(momentum)
    # 0.1 * 1 after the first, then 0.8 * 0.1 + 0.2 * 3.
    for theirs, began in zip(dino.teacher.parameters(), start, strict=True):
        torch.testing.assert_close(theirs.detach(), began + 0.68)
    assert [momentum_at(share) for share in (0, 0.5, 1)] == pytest.approx([0.99, 0.995, 1])


def test_targets_are_centred_and_then_sharpened():
    taught = torch.tensor([[0.2 + 0.5 * math.log(3), 0.7]])
    for temperature, first in ((0.5, 3 / 4), (0.25, 9 / 10)):  # odds of 3 to 1, squared at half the temperature
        dino = Dino(backbone(), GRID, codes=2, temperature=temperature)
        dino.centre = torch.tensor([[0.2, 0.7]])
        torch.testing.assert_close(dino.targets(taught), torch.tensor([[first, 1 - first]]))


def test_the_centre_is_the_moving_average_of_what_the_teacher_gives(dino, views):
    wide, _ = views
    mean = torch.cat([dino.teacher[1](dino.teacher[0](view)) for view in wide]).mean(dim=0, keepdim=True)
    for share in (0.1, 0.19):  # 0.9 * 0.1 + 0.1, as the teacher does not move
        dino(wide)
        torch.testing.assert_close(dino.centre, share * mean)
    other = Dino(backbone(), GRID, codes=5, is_centred=False)
    other(wide)
    assert not other.centre.any()


def test_the_loss_compares_each_wide_view_with_every_other_view(dino, views):
    wide, narrow = views
    taught = [dino.targets(dino.teacher[1](dino.teacher[0](view))) for view in wide]
    parts = [dino.student[1](features(dino.student[0], GRID, view)) / 0.1 for view in (*wide, *narrow)]
    logs = [part - part.exp().sum(dim=1, keepdim=True).log() for part in parts]
    by_hand = [-(taught[i] * logs[j]).sum(dim=1).mean() for i, j in ((0, 1), (0, 2), (1, 0), (1, 2))]
    loss, targets = dino(wide, narrow)
    torch.testing.assert_close(loss, sum(by_hand) / 4)
    torch.testing.assert_close(targets, torch.stack(taught))
    nn.init.zeros_(dino.student[1][-1].weight)  # a student that gives all codes the same
    assert dino(wide, narrow)[0].item() == pytest.approx(math.log(5))


def test_gradients_reach_every_weight_of_the_student_and_nothing_else(dino, views):
    loss, targets = dino(*views)
    loss.backward()
    learned = {name: weight for name, weight in dino.student.named_parameters() if weight.requires_grad}
    assert all(weight.grad is not None and weight.grad.any() for weight in learned.values())
    assert {name for name, _ in dino.student.named_parameters()} - learned.keys() == {"1.4.weight"}  # the codes
    assert all(weight.grad is None for weight in dino.teacher.parameters())
    assert not targets.requires_grad and not dino.centre.requires_grad


def test_a_smaller_view_gets_the_positions_of_its_own_grid():
    model, small = backbone(), backbone(side=8)
    nn.init.constant_(model.pos_embed[:, 1:], 0.3)  # the same everywhere, so also on any other grid
    weights = model.state_dict()
    weights["pos_embed"] = weights["pos_embed"][:, : 1 + 2 * 2]
    small.load_state_dict(weights)
    view = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(features(model, GRID, view), small(view))
    nn.init.normal_(model.pos_embed[:, 1:])
    assert not torch.allclose(features(model, GRID, view), small(view))
    whole = torch.randn(2, 3, 16, 16)
    assert torch.equal(features(model, GRID, whole), model(whole))


def test_entropies_tell_the_two_collapses_from_learning():
    each_its_own, all_one, even = torch.eye(4), torch.eye(4)[:1].expand(4, -1), torch.full((4, 4), 0.25)
    assert entropies(each_its_own[None]) == pytest.approx((0, 1), abs=1e-6)
    assert entropies(all_one[None]) == pytest.approx((0, 0), abs=1e-6)
    assert entropies(even[None]) == pytest.approx((1, 1))
