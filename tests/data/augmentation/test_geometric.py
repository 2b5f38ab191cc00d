import pytest
import torch

from tests.data.augmentation.common import gradient, only, varied
from vit.data.batches import to_unit


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
