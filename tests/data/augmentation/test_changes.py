"""TrivialAugment, mixup and cutmix: what is drawn, and what it makes of labels."""

import pytest
import torch

from tests.data.augmentation.test_augment import NOTHING, noisy, only, seeded, varied
from vit.data.augmentation.apply import mix
from vit.data.augmentation.changes import COLOURS, GEOMETRIC, TRIVIAL, draw_changes, draw_shares
from vit.data.batches import to_unit

SIZE = (18, 32)


def kinds_of(changes) -> torch.Tensor:
    """(B, 6) which of geometry, brightness, contrast, saturation, posterize and solarize each image gets."""
    return torch.cat(
        [changes.moved[:, None], changes.factors != 1, changes.bits[:, None] < 8, changes.threshold[:, None] < 1], dim=1
    )


def parts_of(affine: torch.Tensor) -> torch.Tensor:
    """(B, 5) whether an affine of a crop of SIZE has each of: a turn, x by y, y by x, a shift along x, along y."""
    aspect = SIZE[1] / SIZE[0]
    across, down = affine[:, 0, 1] * aspect, affine[:, 1, 0] / aspect
    turn = (across + down).abs() < 1e-5
    off = torch.stack([across.abs() > 1e-6, down.abs() > 1e-6, affine[:, 0, 2] != 0, affine[:, 1, 2] != 0], dim=1)
    return torch.cat([(turn & off[:, 0])[:, None], off & ~(turn & off[:, 0])[:, None]], dim=1)


def test_a_certain_trivial_change_is_one_per_image_drawn_evenly_from_all():
    changes = draw_changes(3000, SIZE, SIZE, only(trivial=1.0), seeded())
    kinds = kinds_of(changes)
    assert (kinds.sum(dim=1) == 1).all()
    geometric = parts_of(changes.affine)
    assert torch.equal(geometric.sum(dim=1), changes.moved.long())
    counts = [*geometric.sum(dim=0).tolist(), *kinds[:, 1:].sum(dim=0).tolist()]
    assert len(counts) == len(TRIVIAL) == len(GEOMETRIC) + len(COLOURS) + 2
    assert all(235 < count < 365 for count in counts)  # 300 with a deviation of 16.4


def test_trivial_spares_images_at_its_probability():
    changes = draw_changes(1000, SIZE, SIZE, only(trivial=0.3), seeded())
    touched = kinds_of(changes).any(dim=1).sum().item()
    assert 240 < touched < 360  # 300 with a deviation of 14.5
    images = noisy(200, *SIZE, 3)
    same = torch.isclose(varied(images, only(trivial=0.3)), to_unit(images), atol=1e-6).flatten(1).all(dim=1)
    assert torch.equal(~same, kinds_of(draw_changes(200, SIZE, SIZE, only(trivial=0.3), seeded())).any(dim=1))


def test_trivial_strengths_are_uniform_over_their_whole_range():
    changes = draw_changes(6000, SIZE, SIZE, only(trivial=1.0), seeded())
    for factor in changes.factors.T:
        chosen = factor[factor != 1]
        assert 0.0099 < chosen.min() < 0.05 and 1.95 < chosen.max() < 1.9901
        assert chosen.std().item() == pytest.approx(0.99 / 3**0.5, rel=0.1)
    assert changes.bits.unique().tolist() == [2, 3, 4, 5, 6, 7, 8]
    thresholds = changes.threshold[changes.threshold < 1]
    assert thresholds.min() < 0.02 and thresholds.max() > 0.98
    shift = changes.affine[:, 0, 2].abs().max().item() / 2  # [-1, 1] is two halves of the side
    assert 0.13 < shift <= 1 / 7 + 1e-6


def test_posterize_keeps_the_upper_bits_and_solarize_inverts_the_bright():
    images = noisy(300, 6, 7, 3)
    settings = only(trivial=1.0)
    x, changes = (varied(images, settings) * 255).round().long(), draw_changes(300, (6, 7), (6, 7), settings, seeded())
    before = images.permute(0, 3, 1, 2).long()
    for i in (changes.bits < 8).nonzero()[:, 0]:
        dropped = 8 - changes.bits[i]
        assert torch.equal(x[i], before[i] >> dropped << dropped)
    for i in (changes.threshold < 1).nonzero()[:, 0]:
        bright = before[i] / 255 >= changes.threshold[i]
        assert torch.equal(x[i], torch.where(bright, 255 - before[i], before[i]))


def test_switching_a_change_on_leaves_the_draws_before_it_as_they_were():
    few = draw_changes(20, (20, 36), SIZE, only(hflip=0.5, degrees=9.0), seeded())
    more = draw_changes(20, (20, 36), SIZE, only(hflip=0.5, degrees=9.0, contrast=0.2, erasing=0.5), seeded())
    assert torch.equal(few.corner, more.corner) and torch.equal(few.flip, more.flip)
    assert torch.equal(few.affine, more.affine)


# Mixup and cutmix


def coloured(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Images (B, 1, H, W) filled with their index, and labels that are the index."""
    labels = torch.arange(count)
    return labels.float()[:, None, None, None].repeat(1, 1, *SIZE), labels


def test_cutmix_gives_each_label_exactly_its_share_of_the_pixels():
    x, labels = coloured(50)
    mixed, shares = mix(x, labels, 50, only(cutmix=1.0), seeded())
    counted = torch.stack([(mixed == label).sum(dim=(1, 2, 3)) for label in labels], dim=1) / (SIZE[0] * SIZE[1])
    torch.testing.assert_close(shares, counted, atol=1e-6, rtol=0)
    own = shares.diagonal()
    assert own.min() < 0.4 and own.max() > 0.9 and len(own.unique()) > 30


def test_cutmix_pastes_one_rectangle_of_the_neighbour():
    x, labels = coloured(50)
    mixed, _ = mix(x, labels, 50, only(cutmix=1.0), seeded())
    pasted = mixed[:, 0] != labels[:, None, None]
    rows, columns = pasted.any(dim=2), pasted.any(dim=1)
    assert torch.equal(pasted, rows[:, :, None] & columns[:, None, :])
    assert all((sides[:, 1:] != sides[:, :-1]).sum(dim=1).max() <= 2 for sides in (rows, columns))


def test_mixup_weighs_pixels_and_labels_alike():
    x, labels = coloured(50)
    mixed, shares = mix(x, labels, 50, only(mixup=1.0), seeded())
    expected = (shares * labels).sum(dim=1)  # of images filled with their index, mixed by the labels' shares
    torch.testing.assert_close(mixed.flatten(1), expected[:, None].expand(-1, SIZE[0] * SIZE[1]))
    assert len(shares.diagonal().unique()) > 40


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_shares_sum_to_1_and_name_at_most_two_classes(name):
    x = torch.rand(64, 3, *SIZE, generator=seeded())
    labels = torch.randint(0, 4, (64,), generator=seeded())
    _, shares = mix(x, labels, 4, only(**{name: 0.5}), seeded())
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(64))
    assert shares.min() >= 0 and (shares > 0).sum(dim=1).max() == 2


@pytest.mark.parametrize("alpha", [0.2, 1.0, 8.0])
def test_shares_follow_the_beta_distribution_of_alpha(alpha):
    _, shares = draw_shares(20_000, only(mixup=alpha), seeded())
    # Beta(a, a): mean 1/2, variance 1 / (4 (2a + 1)).
    assert shares.mean().item() == pytest.approx(0.5, abs=0.01)
    assert shares.var().item() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.05)


def test_with_both_on_each_batch_gets_either_with_probability_one_half():
    generator = seeded()
    cuts = sum(draw_shares(4, only(mixup=0.8, cutmix=1.0), generator)[0] for _ in range(400))
    assert 160 < cuts < 240  # 200 with a deviation of 10
    assert not any(draw_shares(4, only(mixup=0.8), generator)[0] for _ in range(20))
    assert all(draw_shares(4, only(cutmix=0.8), generator)[0] for _ in range(20))


def test_equal_generators_mix_alike():
    x, labels = coloured(20)
    settings = NOTHING.model_copy(update={"mixup": 0.8, "cutmix": 1.0})
    first, again = (mix(x.clone(), labels, 20, settings, seeded(3)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
