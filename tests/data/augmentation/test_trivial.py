"""TrivialAugment: one strong change per image, of all operations that have a wide strength."""

import pytest
import torch

from tests.data.augmentation.common import WEAK, draws_of, noisy, only, varied
from vit.data.augmentation.changes import OPERATIONS, Changes, draw_changes
from vit.data.augmentation.geometric import Geometric, affine_of
from vit.data.augmentation.pixelwise import Pixelwise
from vit.data.batches import to_unit

SIZE = (18, 32)
# The "wide" space of the paper, less what needs a pass over neighbours or a histogram.
WIDE = {
    "rotate": 135.0,
    "shear_x": 0.99,
    "shear_y": 0.99,
    "shift_x": 1 / 7,
    "shift_y": 1 / 7,
    "brightness": 0.99,
    "contrast": 0.99,
    "saturation": 0.99,
    "posterize": 1.0,
    "solarize": 1.0,
}


def drawn_by(count: int, probability: float) -> dict[str, torch.Tensor]:
    """Amounts (B,) by operation."""
    changes = draw_changes(count, only(trivial=probability), draws_of())
    return {operation.name: amounts for operation, amounts in changes.drawn}


def affine(changes: Changes) -> torch.Tensor:
    count = len(changes.crop)
    corner, flip = torch.zeros(count, 2, dtype=torch.int64), torch.zeros(count, 2, dtype=torch.bool)
    return affine_of(changes.by(Geometric), corner, flip, SIZE, SIZE)[1]


def parts_of(affine: torch.Tensor) -> torch.Tensor:
    """(B, 5) whether an affine of a crop of SIZE has each of: a turn, x by y, y by x, a shift along x, along y."""
    aspect = SIZE[1] / SIZE[0]
    across, down = affine[:, 0, 1] * aspect, affine[:, 1, 0] / aspect
    turn = (across + down).abs() < 1e-5
    off = torch.stack([across.abs() > 1e-6, down.abs() > 1e-6, affine[:, 0, 2] != 0, affine[:, 1, 2] != 0], dim=1)
    return torch.cat([(turn & off[:, 0])[:, None], off & ~(turn & off[:, 0])[:, None]], dim=1)


def test_the_strengths_are_those_of_the_paper():
    assert {operation.name: operation.wide for operation in OPERATIONS if operation.wide} == WIDE


def test_a_certain_trivial_change_is_one_per_image_drawn_evenly_from_all():
    drawn = drawn_by(3000, 1.0)
    assert drawn.keys() == WIDE.keys()
    chosen = torch.stack([amounts != 0 for amounts in drawn.values()])
    assert (chosen.sum(dim=0) == 1).all()
    assert all(235 < count < 365 for count in chosen.sum(dim=1))  # 300 with a deviation of 16.4


def test_a_geometric_change_turns_leans_or_shifts_and_is_one_of_these():
    changes = draw_changes(3000, only(trivial=1.0), draws_of())
    parts = parts_of(affine(changes))
    names = ["rotate", "shear_x", "shear_y", "shift_x", "shift_y"]
    chosen = {operation.name: amounts != 0 for operation, amounts in changes.by(Geometric)}
    assert torch.equal(parts, torch.stack([chosen[name] for name in names], dim=1))


def test_trivial_spares_images_at_its_probability():
    touched = torch.stack(list(drawn_by(1000, 0.3).values())).any(dim=0)
    assert 240 < touched.sum() < 360  # 300 with a deviation of 14.5
    images = noisy(200, *SIZE, 3)
    same = torch.isclose(varied(images, only(trivial=0.3)), to_unit(images), atol=1e-6).flatten(1).all(dim=1)
    assert torch.equal(~same, torch.stack(list(drawn_by(200, 0.3).values())).any(dim=0))


def test_trivial_strengths_are_uniform_over_their_whole_range():
    for name, amounts in drawn_by(6000, 1.0).items():
        chosen = amounts[amounts != 0] / WIDE[name]
        assert -1 <= chosen.min() < -0.97 and 0.97 < chosen.max() <= 1
        assert chosen.mean().abs() < 0.1
        assert chosen.std().item() == pytest.approx(1 / 3**0.5, rel=0.1)


def test_posterize_keeps_the_upper_2_to_7_bits():
    images = noisy(600, 6, 7, 3)
    amounts = drawn_by(600, 1.0)["posterize"]
    x, before = (varied(images, only(trivial=1.0)) * 255).round().long(), images.permute(0, 3, 1, 2).long()
    kept = []
    for i in amounts.nonzero()[:, 0]:
        kept += [bits for bits in range(9) if torch.equal(x[i], before[i] >> 8 - bits << 8 - bits)]
    assert len(kept) == amounts.count_nonzero() and set(kept) == {2, 3, 4, 5, 6, 7}


def test_solarize_inverts_what_is_brighter_than_a_threshold_anywhere_in_the_range():
    images = noisy(600, 6, 7, 3)
    amounts = drawn_by(600, 1.0)["solarize"]
    x, before = (varied(images, only(trivial=1.0)) * 255).round().long(), images.permute(0, 3, 1, 2).long()
    shares = []
    for i in amounts.nonzero()[:, 0]:
        inverted = x[i] == 255 - before[i]
        assert torch.equal(x[i][~inverted], before[i][~inverted])
        if inverted.any() and not inverted.all():
            assert before[i][inverted].min() > before[i][~inverted].max()
        shares.append(inverted.float().mean().item())
    assert min(shares) < 0.1 and max(shares) > 0.9


def test_a_new_operation_takes_its_share_of_the_images_and_leaves_the_others_as_they_were():
    settings, before = only(**WEAK, trivial=0.7), {}
    for operation, values in draw_changes(2000, settings, draws_of()).drawn:
        before.setdefault(operation.name, []).append(values)
    new = Pixelwise("negative", None, lambda x, amount: 255 - x, wide=1.0)
    after = {}
    for operation, values in draw_changes(2000, settings, draws_of(), (new, *OPERATIONS)).drawn:
        after.setdefault(operation.name, []).append(values)
    (taken,) = after.pop("negative")
    assert 90 < taken.count_nonzero() < 165  # 2000 * 0.7 / 11 = 127 with a deviation of 10.9
    assert after.keys() == before.keys()
    for name in before:
        for one, other in zip(before[name], after[name], strict=True):
            assert torch.equal(one[taken == 0], other[taken == 0])
            if one is not before[name][-1] or name not in WIDE:  # all but the strong change
                assert torch.equal(one, other)
        if name in WIDE:
            assert not after[name][-1][taken != 0].any()
