import pytest
import torch

from tests.presets import preset
from vit.config.schema import AugmentParams
from vit.data.augmentation.apply import GREY, LUMA, augment
from vit.data.augmentation.changes import draw_changes
from vit.data.batches import normalize, to_unit

NOTHING = AugmentParams(**dict.fromkeys(AugmentParams.model_fields, 0.0))
WEAK = {
    "hflip": 0.5,
    "degrees": 20.0,
    "scale": 0.2,
    "translate": 0.1,
    "shear": 10.0,
    "brightness": 0.3,
    "contrast": 0.3,
    "saturation": 0.3,
    "erasing": 0.5,
}
EVERYTHING = {**WEAK, "trivial": 0.5}
STEP = 1 / 255


def only(**changes) -> AugmentParams:
    return NOTHING.model_copy(update=changes)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def varied(images: torch.Tensor, settings: AugmentParams, size=None, seed: int = 0, **options) -> torch.Tensor:
    """Packed uint8 (B, H', W', C) augmented, in [0, 1]: normalized by a mean of 0 and a deviation of 1."""
    B, height, width, C = images.shape
    size = size or (height, width)
    changes = draw_changes(B, (height, width), size, settings, seeded(seed))
    return augment(images, changes, size, [0.0] * C, [1.0] * C, **options)


def noisy(*shape: int) -> torch.Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=seeded(9))


def planes(images: torch.Tensor) -> torch.Tensor:
    return to_unit(images).contiguous()


def centre_of(x: torch.Tensor) -> torch.Tensor:
    """Row and column (B, 2) of the centre of mass, in pixels."""
    mass = x.sum(dim=1)
    height, width = mass.shape[1:]
    total = mass.sum(dim=(1, 2))
    row = (mass.sum(dim=2) * torch.arange(height)).sum(dim=1) / total
    column = (mass.sum(dim=1) * torch.arange(width)).sum(dim=1) / total
    return torch.stack([row, column], dim=1)


def disk(count: int, height: int, width: int, radius: float, right: int = 0) -> torch.Tensor:
    """White disks, `right` columns of the middle, in black images (B, H, W, 1)."""
    row, column = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    distance = ((row - (height - 1) / 2) ** 2 + (column - (width - 1) / 2 - right) ** 2).sqrt()
    return ((distance < radius) * 255).to(torch.uint8)[None, :, :, None].repeat(count, 1, 1, 1)


def gradient(count: int, height: int, width: int) -> torch.Tensor:
    """Images (B, H, W, 2) whose pixels tell their row and column."""
    row, column = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([row, column], dim=2).to(torch.uint8).repeat(count, 1, 1, 1)


# All together


def test_settings_of_zero_change_no_pixel():
    images = noisy(3, 6, 8, 3)
    assert torch.equal(varied(images, NOTHING), to_unit(images))


def test_the_result_is_normalized_as_the_served_model_normalizes():
    images, mean, std = noisy(3, 6, 8, 3), [0.4, 0.5, 0.6], [0.2, 0.3, 0.25]
    x = augment(images, draw_changes(3, (6, 8), (6, 8), NOTHING, seeded()), (6, 8), mean, std)
    assert torch.equal(x, normalize(to_unit(images), mean, std))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", EVERYTHING)
def test_each_setting_changes_images_on_its_own_and_stays_in_range(name, channels):
    images = noisy(32, 12, 16, channels)
    x = varied(images, only(**{name: EVERYTHING[name]}))
    assert torch.allclose(x, to_unit(images), atol=1e-6) is (name == "saturation" and channels == 1)
    assert x.min() >= 0 and x.max() <= 1


def test_equal_generators_vary_alike_and_others_do_not():
    images, settings = noisy(8, 14, 20, 3), only(**EVERYTHING)
    first = varied(images, settings, (12, 16), seed=1)
    assert torch.equal(first, varied(images, settings, (12, 16), seed=1))
    assert not torch.equal(first, varied(images, settings, (12, 16), seed=2))


def test_the_global_generator_is_neither_read_nor_moved():
    images, settings = noisy(8, 14, 20, 3), only(**EVERYTHING)
    torch.manual_seed(5)
    first = varied(images, settings)
    assert torch.equal(torch.rand(3), torch.rand(3, generator=seeded(5)))
    torch.manual_seed(6)
    assert torch.equal(first, varied(images, settings))


@pytest.mark.parametrize("name", [name for name in EVERYTHING if name not in ("hflip", "erasing")])
def test_the_images_of_a_batch_vary_each_on_its_own(name):
    images = noisy(1, 12, 16, 3).expand(8, -1, -1, -1)
    x = varied(images, only(**{name: EVERYTHING[name] if name != "trivial" else 1.0})).flatten(1)
    assert (torch.cdist(x, x) + torch.eye(8)).min() > 0.01


def test_the_packed_images_are_left_as_they_were():
    images = noisy(8, 12, 16, 3)
    before = images.clone()
    varied(images, only(**EVERYTHING))
    assert torch.equal(images, before)


def test_a_batch_worked_on_in_pieces_equals_one_in_a_single_piece(monkeypatch):
    images, settings = noisy(7, 14, 20, 3), only(**EVERYTHING)
    whole = varied(images, settings, (12, 16))
    monkeypatch.setattr("vit.data.augmentation.apply.PIECE", 2 * 4 * 3 * 14 * 20)  # two images
    torch.testing.assert_close(varied(images, settings, (12, 16)), whole, atol=1e-6, rtol=0)


def test_memory_of_an_earlier_batch_changes_nothing_and_is_used_again():
    images, settings = noisy(8, 12, 16, 3), only(**EVERYTHING)
    earlier = varied(noisy(8, 12, 16, 3), NOTHING)
    last = varied(images[:5], settings, out=earlier)
    assert torch.equal(last, varied(images[:5], settings))
    assert last.data_ptr() == earlier.data_ptr()
    assert torch.equal(varied(images, settings, out=last), varied(images, settings))  # too small: new memory


def test_settings_come_from_the_parameters_by_name(tmp_path):
    values = dict.fromkeys(AugmentParams.model_fields, 0.25)
    changes = {f"train.augment.{name}": value for name, value in values.items()}
    assert preset(tmp_path, "shapes", changes).train.augment == only(**values)


# Crop and flip


def test_a_crop_varies_over_the_whole_border_of_a_wide_frame_and_copies_its_pixels():
    # 18 x 32 of 20 x 36: corners of rows 0 to 2 and columns 0 to 4.
    x = (varied(gradient(400, 20, 36), NOTHING, (18, 32)) * 255).round()
    corners = x[:, :, 0, 0].long()
    assert set(map(tuple, corners.tolist())) == {(row, column) for row in range(3) for column in range(5)}
    inside = torch.stack(torch.meshgrid(torch.arange(18), torch.arange(32), indexing="ij"))
    assert torch.equal(x, (corners[:, :, None, None] + inside).float())


def test_the_rows_and_columns_of_a_crop_are_drawn_apart():
    corners = varied(gradient(400, 40, 40), NOTHING, (20, 20))[:, :, 0, 0]
    assert abs(torch.corrcoef(corners.T)[0, 1].item()) < 0.2


def test_a_certain_flip_mirrors_left_and_right_exactly():
    images = noisy(4, 6, 8, 3)
    assert torch.equal(varied(images, only(hflip=1.0)), to_unit(images).flip(-1))


def test_half_of_the_images_flip_at_one_half():
    images = noisy(400, 1, 2, 1)
    images[:, 0, 1] = 255 - images[:, 0, 0]  # no image is its own mirror
    flipped = (varied(images, only(hflip=0.5)) != to_unit(images)).flatten(1).any(dim=1).sum().item()
    assert 160 < flipped < 240  # 200 with a deviation of 10


def test_a_crop_and_flip_through_the_resampling_are_those_without_it():
    # A scale of almost nothing resamples; corner and flip are drawn first, and so alike.
    images = noisy(20, 20, 36, 3)
    copied = varied(images, only(hflip=0.5), (18, 32))
    resampled = varied(images, only(hflip=0.5, scale=1e-6), (18, 32))
    torch.testing.assert_close(resampled, copied, atol=1e-3, rtol=0)


# Rotation, scale, shift, shear


def test_a_shift_moves_a_dot_within_its_share_of_each_side():
    # A dot in the middle of 40 x 80 pixels; 0.2 of the sides is 8 rows and 16 columns.
    images = disk(300, 40, 80, 2.5)
    moved = centre_of(varied(images, only(translate=0.2))) - centre_of(to_unit(images))
    for side, limit in ((0, 8.0), (1, 16.0)):
        assert moved[:, side].abs().max() <= limit + 0.1
        # Uniform within +-limit: extremes of 300 draws come within 5 % of it, the deviation is limit / sqrt(3).
        assert moved[:, side].max() > 0.95 * limit and moved[:, side].min() < -0.95 * limit
        assert moved[:, side].std().item() == pytest.approx(limit / 3**0.5, rel=0.15)
    assert abs(torch.corrcoef(moved.T)[0, 1].item()) < 0.2


@pytest.mark.parametrize("margin", [0, 10])
def test_a_scale_changes_the_area_within_its_limits(margin):
    images = disk(200, 60 + margin, 60 + margin, 12.0)
    grown = varied(images, only(scale=0.2), (60, 60)).sum(dim=(1, 2, 3)) / to_unit(images).sum(dim=(1, 2, 3))
    # The side within 1 +- 0.2: the area within 0.64 and 1.44.
    assert 0.62 < grown.min() < 0.68 and 1.38 < grown.max() < 1.47


@pytest.mark.parametrize("packed", [(40, 100), (44, 104)], ids=str)
def test_a_turn_keeps_a_disk_round_in_a_rectangular_image(packed):
    turned = varied(disk(30, *packed, 12.0), only(degrees=90.0), (40, 100))
    mass, total = turned[:, 0], turned.sum(dim=(1, 2, 3))
    row, column = centre_of(turned).T[:, :, None]
    height = (mass.sum(dim=2) * (torch.arange(40) - row) ** 2).sum(dim=1) / total
    width = (mass.sum(dim=1) * (torch.arange(100) - column) ** 2).sum(dim=1) / total
    # The variance of a disk along any diameter is its radius squared over 4.
    torch.testing.assert_close(height, torch.full((30,), 36.0), atol=1.0, rtol=0)
    torch.testing.assert_close(width, torch.full((30,), 36.0), atol=1.0, rtol=0)


def test_a_turn_moves_a_dot_along_a_circle_within_its_angle():
    # A dot 30 columns right of the middle of 80 x 160 pixels.
    images = disk(200, 80, 160, 2.5, right=30)
    place = centre_of(varied(images, only(degrees=40.0))) - torch.tensor([39.5, 79.5])
    torch.testing.assert_close(place.norm(dim=1), torch.full((200,), 30.0), atol=0.2, rtol=0)
    angle = torch.rad2deg(torch.atan2(place[:, 0], place[:, 1]))
    assert 38 < angle.max() < 40.2 and -40.2 < angle.min() < -38


def test_shear_leans_upright_lines_within_its_angle():
    images = torch.zeros(200, 41, 81, 1, dtype=torch.uint8)
    images[:, :, 40] = 255
    leaning = varied(images, only(shear=30.0))
    top, bottom = (centre_of(leaning[:, :, rows])[:, 1] for rows in (slice(10, 11), slice(30, 31)))
    # 20 rows apart at 30 degrees: 20 * tan(30) = 11.5 columns.
    assert 10.5 < (bottom - top).max() < 11.7 and -11.7 < (bottom - top).min() < -10.5
    assert (centre_of(leaning[:, :, 20:21])[:, 1] - 40).abs().max() < 0.1


def test_what_comes_in_at_an_edge_repeats_the_edge():
    images = torch.full((20, 16, 16, 1), 180, dtype=torch.uint8)
    torch.testing.assert_close(varied(images, only(translate=0.3, degrees=30.0)), to_unit(images))


def test_a_small_shift_of_a_crop_shows_the_packed_border_and_repeats_no_edge():
    # 40 columns of 60, in the middle or up to 10 off it; shifts of at most 4 columns stay inside in most images.
    images = gradient(200, 60, 60)
    x = varied(images, only(translate=0.1), (40, 40)) * 255
    start = x[:, 1, 0, 0]
    inside = (start > 0.5) & (start < 18.5)
    assert inside.sum() > 100
    steps = x[inside, 1].diff(dim=2)
    torch.testing.assert_close(steps, torch.ones_like(steps), atol=0.01, rtol=0)


# Colours


def test_brightness_multiplies_within_its_limits():
    images = torch.full((300, 2, 2, 3), 100, dtype=torch.uint8)
    factor = varied(images, only(brightness=0.4)) / (100 * STEP)
    torch.testing.assert_close(factor.flatten(1).amin(1), factor.flatten(1).amax(1))
    assert 0.6 - 1e-5 <= factor.min() < 0.62 and 1.38 < factor.max() <= 1.4 + 1e-5


@pytest.mark.parametrize("channels", [1, 3])
def test_contrast_stretches_about_the_mean_grey_of_the_image(channels):
    images = torch.tensor([100, 150], dtype=torch.uint8)[None, None, :, None].repeat(300, 1, 1, channels)
    x = varied(images, only(contrast=0.5))
    torch.testing.assert_close(x.mean(dim=(1, 2, 3)), torch.full((300,), 125 * STEP))
    factor = (x[..., 1] - x[..., 0]) / (50 * STEP)
    assert 0.5 - 1e-4 <= factor.min() < 0.53 and 1.47 < factor.max() <= 1.5 + 1e-4


def test_saturation_leaves_grey_grey_and_every_colour_its_brightness():
    images = noisy(50, 5, 6, 1).expand(-1, -1, -1, 3)
    torch.testing.assert_close(varied(images, only(saturation=0.9)), to_unit(images))
    colours = 100 + noisy(50, 5, 6, 3) // 8  # far from both ends of the range, and
    colours[..., 0] += 60  # none of them grey
    luma = torch.tensor(LUMA)[:, None, None]
    x, before = varied(colours, only(saturation=0.9)), to_unit(colours)
    torch.testing.assert_close((x * luma).sum(dim=1), (before * luma).sum(dim=1))
    distance = (x - (x * luma).sum(dim=1, keepdim=True)).norm(dim=1) / (
        before - (before * luma).sum(dim=1, keepdim=True)
    ).norm(dim=1)
    torch.testing.assert_close(distance.flatten(1).amin(1), distance.flatten(1).amax(1), atol=1e-3, rtol=0)
    assert distance.min() + 1e-3 >= 0.1 and distance.min() < 0.2 and 1.8 < distance.max() < 1.901


def test_colours_together_are_brightness_then_contrast_then_saturation():
    colours = 110 + noisy(40, 5, 6, 3) // 16
    settings = {"brightness": 0.2, "contrast": 0.3, "saturation": 0.5}
    together, alone = varied(colours, only(**settings)), {}
    # The first draws of equal generators are equal: each factor as if it were the only one.
    generator = seeded()
    for name, spread in settings.items():
        alone[name] = (1 + (2 * torch.rand(40, generator=generator) - 1) * spread)[:, None, None, None]
    luma = torch.tensor(LUMA)[:, None, None]
    x = to_unit(colours) * alone["brightness"]
    mean = (x * luma).sum(dim=1, keepdim=True).mean(dim=(2, 3), keepdim=True)
    x = mean + (x - mean) * alone["contrast"]
    grey = (x * luma).sum(dim=1, keepdim=True)
    torch.testing.assert_close(together, grey + (x - grey) * alone["saturation"])


# Erasing


def erased(count: int, height: int, width: int) -> torch.Tensor:
    """Where a certain erasing leaves grey in white images, (B, H, W)."""
    x = varied(torch.full((count, height, width, 3), 255, dtype=torch.uint8), only(erasing=1.0))
    assert set(x.unique().tolist()) == {GREY, 1.0}
    assert torch.equal(x.amin(dim=1), x.amax(dim=1))
    return x[:, 0] == GREY


def test_erasing_leaves_one_filled_rectangle_that_differs_from_image_to_image():
    masks = erased(100, 40, 64)
    rows, columns = masks.any(dim=2), masks.any(dim=1)
    assert torch.equal(masks, rows[:, :, None] & columns[:, None, :])
    assert len({tuple(mask.flatten().tolist()) for mask in masks}) > 90
    for sides in (rows, columns):
        assert (sides[:, 1:] != sides[:, :-1]).sum(dim=1).max() <= 2  # in one piece


def test_an_erased_rectangle_is_a_quarter_to_half_of_each_side():
    masks = erased(300, 40, 64)
    rows, columns = masks.any(dim=2).sum(dim=1), masks.any(dim=1).sum(dim=1)
    assert rows.min() >= 10 - 1 and columns.min() >= 16 - 1
    assert rows.max() <= 20 + 1 and columns.max() <= 32 + 1


def test_erasing_spares_images_at_its_probability():
    images = torch.full((400, 8, 8, 1), 255, dtype=torch.uint8)
    touched = (varied(images, only(erasing=0.25)) == GREY).flatten(1).any(dim=1).sum().item()
    assert 65 < touched < 135  # 100 with a deviation of 8.7
