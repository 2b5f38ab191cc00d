import numpy as np
import pytest
import torch

from tests.drawn import noise
from tests.presets import preset
from vit.data.batches import GREY, Packed, augment, normalize, to_unit
from vit.data.pack import channel_statistics
from vit.params import AugmentParams

NOTHING = AugmentParams(
    hflip=0.0, degrees=0.0, scale=0.0, translate=0.0, shear=0.0, brightness=0.0, contrast=0.0, erasing=0.0
)
EVERYTHING = {
    "hflip": 0.5,
    "degrees": 20.0,
    "scale": 0.2,
    "translate": 0.1,
    "shear": 10.0,
    "brightness": 0.3,
    "contrast": 0.3,
    "erasing": 0.5,
}


def only(**changes) -> AugmentParams:
    return NOTHING.model_copy(update=changes)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def numbered(count: int) -> Packed:
    """Images whose pixel tells their index, with the index as label too."""
    return Packed(torch.arange(count, dtype=torch.uint8)[:, None, None, None], torch.arange(count))


def centre_of(images: torch.Tensor) -> torch.Tensor:
    """Row and column (B, 2) of the centre of mass, in pixels."""
    mass = images.sum(dim=1)
    height, width = mass.shape[1:]
    total = mass.sum(dim=(1, 2))
    row = (mass.sum(dim=2) * torch.arange(height)).sum(dim=1) / total
    column = (mass.sum(dim=1) * torch.arange(width)).sum(dim=1) / total
    return torch.stack([row, column], dim=1)


def disk(count: int, height: int, width: int, radius: float) -> torch.Tensor:
    """White disks in the middle of black images (B, 1, H, W)."""
    row, column = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    distance = ((row - (height - 1) / 2) ** 2 + (column - (width - 1) / 2) ** 2).sqrt()
    return (distance < radius).float().expand(count, 1, height, width).contiguous()


# Order


def test_a_shuffled_epoch_shows_every_image_once_with_its_label():
    batches = list(numbered(23).shuffled(5, seeded()))
    assert [len(labels) for _, labels in batches] == [5, 5, 5, 5, 3]
    images, labels = (torch.cat(parts) for parts in zip(*batches, strict=True))
    assert sorted(labels.tolist()) == list(range(23))
    assert images.flatten().tolist() == labels.tolist()
    assert labels.tolist() != list(range(23))


def test_the_order_depends_on_the_generator_alone():
    def order(generator: torch.Generator, global_seed: int) -> list[int]:
        torch.manual_seed(global_seed)
        return torch.cat([labels for _, labels in numbered(50).shuffled(8, generator)]).tolist()

    assert order(seeded(1), 0) == order(seeded(1), 99)
    assert order(seeded(1), 0) != order(seeded(2), 0)
    advancing = seeded(1)
    assert order(advancing, 0) != order(advancing, 0)


def test_batches_in_order_are_in_order_and_complete():
    batches = list(numbered(10).in_order(4))
    assert [labels.tolist() for _, labels in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_a_packed_part_comes_back_from_its_files(tmp_path):
    images = np.stack([noise(4, 6, 3, seed) for seed in range(3)])
    np.save(tmp_path / "val_images.npy", images)
    np.save(tmp_path / "val_labels.npy", np.array([2, 0, 1]))
    part = Packed.load(tmp_path, "val")
    assert len(part) == 3
    assert np.array_equal(part.images.numpy(), images)
    assert part.labels.tolist() == [2, 0, 1]


# Numbers


def test_bytes_become_numbers_from_0_to_1_with_channels_first():
    images = torch.zeros(1, 2, 3, 3, dtype=torch.uint8)
    images[0, 1, 2] = torch.tensor([255, 51, 0])
    unit = to_unit(images)
    assert unit.shape == (1, 3, 2, 3)
    torch.testing.assert_close(unit[0, :, 1, 2], torch.tensor([1.0, 0.2, 0.0]))
    assert unit.sum().item() == pytest.approx(1.2)


def test_images_normalized_by_their_statistics_have_mean_0_and_deviation_1():
    arrays = np.random.default_rng(0).integers(0, [[[256, 100, 30]]], (20, 8, 9, 3)).astype(np.uint8)
    statistics = channel_statistics(arrays)
    x = normalize(to_unit(torch.from_numpy(arrays)), statistics["mean"], statistics["std"])
    torch.testing.assert_close(x.mean(dim=(0, 2, 3)), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(x.std(dim=(0, 2, 3), correction=0), torch.ones(3), atol=1e-4, rtol=0)


# Variation


def test_settings_of_zero_change_no_pixel():
    x = torch.rand(3, 3, 6, 8, generator=seeded())
    assert torch.equal(augment(x, NOTHING, seeded()), x)


@pytest.mark.parametrize("name", EVERYTHING)
def test_each_setting_changes_images_on_its_own(name):
    x = torch.rand(32, 3, 12, 16, generator=seeded())
    varied = augment(x, only(**{name: EVERYTHING[name]}), seeded())
    assert not torch.equal(varied, x)
    assert varied.min() >= 0 and varied.max() <= 1


def test_equal_generators_vary_alike_and_others_do_not():
    x = torch.rand(8, 3, 12, 16, generator=seeded())
    settings = only(**EVERYTHING)
    assert torch.equal(augment(x, settings, seeded(1)), augment(x, settings, seeded(1)))
    assert not torch.equal(augment(x, settings, seeded(1)), augment(x, settings, seeded(2)))


def test_the_images_of_a_batch_vary_each_on_its_own():
    x = torch.rand(1, 3, 12, 16, generator=seeded()).expand(8, -1, -1, -1)
    varied = augment(x, only(degrees=20.0, brightness=0.3), seeded()).flatten(1)
    assert (torch.cdist(varied, varied) + torch.eye(8)).min() > 0.1


def test_the_input_itself_is_left_as_it_was():
    x = torch.rand(8, 3, 12, 16, generator=seeded())
    before = x.clone()
    augment(x, only(**EVERYTHING), seeded())
    assert torch.equal(x, before)


def test_a_certain_flip_mirrors_left_and_right_exactly():
    x = torch.rand(4, 3, 6, 8, generator=seeded())
    assert torch.equal(augment(x, only(hflip=1.0), seeded()), x.flip(-1))


def test_half_of_the_images_flip_at_one_half():
    x = torch.rand(400, 1, 1, 2, generator=seeded())
    flipped = (augment(x, only(hflip=0.5), seeded()) != x).flatten(1).any(dim=1).sum().item()
    assert 160 < flipped < 240  # 200 with a deviation of 10


def test_a_shift_moves_a_dot_within_its_share_of_each_side():
    # A dot in the middle of 40 x 80 pixels; 0.2 of the sides is 8 rows and 16 columns.
    x = disk(300, 40, 80, 2.5)
    moved = centre_of(augment(x, only(translate=0.2), seeded())) - centre_of(x)
    for side, limit in ((0, 8.0), (1, 16.0)):
        assert moved[:, side].abs().max() <= limit + 0.1
        # Uniform within +-limit: extremes of 300 draws come within 5 % of it, the deviation is limit / sqrt(3).
        assert moved[:, side].max() > 0.95 * limit and moved[:, side].min() < -0.95 * limit
        assert moved[:, side].std().item() == pytest.approx(limit / 3**0.5, rel=0.15)
    assert abs(torch.corrcoef(moved.T)[0, 1].item()) < 0.2


def test_a_scale_changes_the_area_within_its_limits():
    x = disk(200, 60, 60, 12.0)
    grown = augment(x, only(scale=0.2), seeded()).sum(dim=(1, 2, 3)) / x.sum(dim=(1, 2, 3))
    # The side within 1 +- 0.2: the area within 0.64 and 1.44.
    assert 0.62 < grown.min() < 0.68 and 1.38 < grown.max() < 1.47


def test_a_turn_keeps_a_disk_round_in_a_rectangular_image():
    x = disk(30, 40, 100, 12.0)
    turned = augment(x, only(degrees=90.0), seeded())
    mass, total = turned[:, 0], turned.sum(dim=(1, 2, 3))
    height = (mass.sum(dim=2) * (torch.arange(40) - 19.5) ** 2).sum(dim=1) / total
    width = (mass.sum(dim=1) * (torch.arange(100) - 49.5) ** 2).sum(dim=1) / total
    # The variance of a disk along any diameter is its radius squared over 4.
    torch.testing.assert_close(height, torch.full((30,), 36.0), atol=1.0, rtol=0)
    torch.testing.assert_close(width, torch.full((30,), 36.0), atol=1.0, rtol=0)


def test_a_turn_moves_a_dot_along_a_circle_within_its_angle():
    # A dot 30 columns right of the middle of 80 x 160 pixels.
    x = disk(200, 80, 160, 2.5).roll(30, dims=3)
    place = centre_of(augment(x, only(degrees=40.0), seeded())) - torch.tensor([39.5, 79.5])
    torch.testing.assert_close(place.norm(dim=1), torch.full((200,), 30.0), atol=0.2, rtol=0)
    angle = torch.rad2deg(torch.atan2(place[:, 0], place[:, 1]))
    assert 38 < angle.max() < 40.2 and -40.2 < angle.min() < -38


def test_shear_leans_upright_lines_within_its_angle():
    x = torch.zeros(200, 1, 41, 81)
    x[..., 40] = 1
    leaning = augment(x, only(shear=30.0), seeded())
    top, bottom = (centre_of(leaning[:, :, rows])[:, 1] for rows in (slice(10, 11), slice(30, 31)))
    # 20 rows apart at 30 degrees: 20 * tan(30) = 11.5 columns.
    assert 10.5 < (bottom - top).max() < 11.7 and -11.7 < (bottom - top).min() < -10.5
    assert (centre_of(leaning[:, :, 20:21])[:, 1] - 40).abs().max() < 0.1


def test_what_comes_in_at_an_edge_repeats_the_edge():
    x = torch.full((20, 1, 16, 16), 0.7)
    torch.testing.assert_close(augment(x, only(translate=0.3, degrees=30.0), seeded()), x)


def test_brightness_multiplies_within_its_limits():
    x = torch.full((300, 3, 2, 2), 0.5)
    factor = augment(x, only(brightness=0.4), seeded()) / 0.5
    assert torch.equal(factor.flatten(1).amin(1), factor.flatten(1).amax(1))
    assert 0.6 - 1e-6 <= factor.min() < 0.62 and 1.38 < factor.max() <= 1.4 + 1e-6


def test_contrast_stretches_about_the_mean_of_the_image():
    x = torch.tensor([0.4, 0.6]).expand(300, 1, 1, 2)
    varied = augment(x, only(contrast=0.5), seeded())
    torch.testing.assert_close(varied.mean(dim=(1, 2, 3)), torch.full((300,), 0.5))
    factor = (varied[..., 1] - varied[..., 0]) / 0.2
    assert 0.5 - 1e-5 <= factor.min() < 0.53 and 1.47 < factor.max() <= 1.5 + 1e-5


def erased(count: int, height: int, width: int) -> torch.Tensor:
    """Where a certain erasing leaves grey in white images, (B, H, W)."""
    x = torch.ones(count, 3, height, width)
    varied = augment(x, only(erasing=1.0), seeded())
    assert set(varied.unique().tolist()) == {GREY, 1.0}
    assert torch.equal(varied.amin(dim=1), varied.amax(dim=1))
    return varied[:, 0] == GREY


def test_erasing_leaves_one_filled_rectangle_that_differs_from_image_to_image():
    masks = erased(100, 40, 64)
    rows, columns = masks.any(dim=2), masks.any(dim=1)
    assert torch.equal(masks, rows[:, :, None] & columns[:, None, :])
    assert len({tuple(mask.flatten().tolist()) for mask in masks}) > 90
    for sides in (rows, columns):
        assert (sides[:, 1:] != sides[:, :-1]).sum(dim=1).max() <= 2  # in one piece


def test_an_erased_rectangle_is_at_most_half_of_each_side():
    masks = erased(300, 40, 64)
    assert masks.any(dim=2).sum(dim=1).max() <= 20 and masks.any(dim=1).sum(dim=1).max() <= 32


def test_an_erased_rectangle_is_at_least_a_quarter_of_each_side():
    masks = erased(300, 40, 64)
    assert masks.any(dim=2).sum(dim=1).min() >= 10 - 1 and masks.any(dim=1).sum(dim=1).min() >= 16 - 1


def test_erasing_spares_images_at_its_probability():
    x = torch.ones(400, 1, 8, 8)
    touched = (augment(x, only(erasing=0.25), seeded()) == GREY).flatten(1).any(dim=1).sum().item()
    assert 65 < touched < 135  # 100 with a deviation of 8.7


def test_settings_come_from_the_parameters_by_name(tmp_path):
    changes = {f"train.augment.{key}": value for key, value in EVERYTHING.items()}
    assert preset(tmp_path, "shapes", changes).train.augment == only(**EVERYTHING)
