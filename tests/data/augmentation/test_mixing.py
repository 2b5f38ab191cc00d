"""Mixup and cutmix: what is drawn, and what it makes of labels."""

import pytest
import torch

from tests.data.augmentation.common import NOTHING, draws_of, only
from vit.config.schema import AugmentParams
from vit.data.augmentation.mixing import MIXINGS, Mixing, draw_shares, mix
from vit.data.seeds import seeded

SIZE = (18, 32)


def coloured(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Images (B, 1, H, W) filled with their index, and labels that are the index."""
    labels = torch.arange(count)
    return labels.float()[:, None, None, None].repeat(1, 1, *SIZE), labels


def test_cutmix_gives_each_label_exactly_its_share_of_the_pixels():
    x, labels = coloured(50)
    mixed, shares = mix(x, labels, 50, only(cutmix=1.0), draws_of())
    counted = torch.stack([(mixed == label).sum(dim=(1, 2, 3)) for label in labels], dim=1) / (SIZE[0] * SIZE[1])
    torch.testing.assert_close(shares, counted, atol=1e-6, rtol=0)
    own = shares.diagonal()
    assert own.min() < 0.4 and own.max() > 0.9 and len(own.unique()) > 30


def test_cutmix_pastes_one_rectangle_of_the_neighbour():
    x, labels = coloured(50)
    mixed, _ = mix(x, labels, 50, only(cutmix=1.0), draws_of())
    pasted = mixed[:, 0] != labels[:, None, None]
    rows, columns = pasted.any(dim=2), pasted.any(dim=1)
    assert torch.equal(pasted, rows[:, :, None] & columns[:, None, :])
    assert all((sides[:, 1:] != sides[:, :-1]).sum(dim=1).max() <= 2 for sides in (rows, columns))


def test_mixup_weighs_pixels_and_labels_alike():
    x, labels = coloured(50)
    mixed, shares = mix(x, labels, 50, only(mixup=1.0), draws_of())
    expected = (shares * labels).sum(dim=1)  # of images filled with their index, mixed by the labels' shares
    torch.testing.assert_close(mixed.flatten(1), expected[:, None].expand(-1, SIZE[0] * SIZE[1]))
    assert len(shares.diagonal().unique()) > 40


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_shares_sum_to_1_and_name_at_most_two_classes(name):
    x = torch.rand(64, 3, *SIZE, generator=seeded(1))
    labels = torch.randint(0, 4, (64,), generator=seeded(2))
    _, shares = mix(x, labels, 4, only(**{name: 0.5}), draws_of())
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(64))
    assert shares.min() >= 0 and (shares > 0).sum(dim=1).max() == 2


@pytest.mark.parametrize("alpha", [0.2, 1.0, 8.0])
def test_shares_follow_the_beta_distribution_of_alpha(alpha):
    shares = draw_shares(alpha, 20_000, seeded(0))
    # Beta(a, a): mean 1/2, variance 1 / (4 (2a + 1)).
    assert shares.mean().item() == pytest.approx(0.5, abs=0.01)
    assert shares.var().item() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.05)


def is_cut(settings, seed: int) -> bool:
    """Whether a batch is cut: its pixels are those of one image or another."""
    x, labels = coloured(6)
    mixed, _ = mix(x, labels, 6, settings, draws_of(seed))
    return torch.equal(mixed, mixed.round())


def test_with_both_on_each_batch_gets_either_with_probability_one_half():
    cuts = sum(is_cut(only(mixup=0.8, cutmix=1.0), seed) for seed in range(400))
    assert 160 < cuts < 240  # 200 with a deviation of 10
    assert not any(is_cut(only(mixup=0.8), seed) for seed in range(20))
    assert all(is_cut(only(cutmix=0.8), seed) for seed in range(20))


def test_with_both_off_images_and_labels_stay():
    x, labels = coloured(6)
    mixed, same = mix(x.clone(), labels, 6, NOTHING, draws_of())
    assert torch.equal(mixed, x) and same is labels


def test_equal_seeds_mix_alike_and_others_do_not():
    x, labels = coloured(20)
    first, again, other = (mix(x.clone(), labels, 20, only(mixup=0.8), draws_of(seed)) for seed in (3, 3, 4))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[1], other[1])


@pytest.mark.parametrize(("one", "other"), [("mixup", "cutmix"), ("cutmix", "mixup")])
def test_switching_the_other_on_leaves_each_batch_that_it_does_not_take_as_it_was(one, other):
    taken = 0
    for seed in range(40):
        x, labels = coloured(20)
        before = mix(x.clone(), labels, 20, only(**{one: 0.8}), draws_of(seed))
        both = mix(x.clone(), labels, 20, only(**{one: 0.8, other: 0.6}), draws_of(seed))
        if not all(torch.equal(a, b) for a, b in zip(before, both, strict=True)):
            alone = mix(x.clone(), labels, 20, only(**{other: 0.6}), draws_of(seed))
            assert all(torch.equal(a, b) for a, b in zip(alone, both, strict=True))
            taken += 1
    assert 8 < taken < 32  # 20 with a deviation of 3.2


def test_another_way_to_mix_is_one_entry_and_leaves_the_others_as_they_were():
    class More(AugmentParams):
        halves: float

    def halves(x, others, drawn):
        x[..., : x.shape[-1] // 2] = others[..., : x.shape[-1] // 2]
        return torch.full((len(x),), 0.5)

    entry = Mixing("halves", "halves", halves, draw=lambda alpha, count, generator: torch.ones(count))
    settings = More(**NOTHING.model_dump() | {"mixup": 0.8}, halves=1.0)
    taken = 0
    for seed in range(40):
        x, labels = coloured(20)
        before = mix(x.clone(), labels, 20, settings, draws_of(seed))
        mixed, shares = mix(x.clone(), labels, 20, settings, draws_of(seed), (entry, *MIXINGS))
        if torch.equal(mixed, mixed.round()):
            assert torch.equal(shares.diagonal(), torch.full((20,), 0.5))
            taken += 1
        else:
            assert torch.equal(mixed, before[0]) and torch.equal(shares, before[1])
    assert 8 < taken < 32


def test_an_empty_batch_stays_empty():
    x, labels = torch.empty(0, 3, *SIZE), torch.empty(0, dtype=torch.int64)
    for name in ("mixup", "cutmix"):
        mixed, shares = mix(x, labels, 4, only(**{name: 1.0}), draws_of())
        assert mixed.shape == (0, 3, *SIZE) and shares.shape == (0, 4)
