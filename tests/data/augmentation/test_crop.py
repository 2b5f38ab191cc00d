import torch

from tests.data.augmentation.common import NOTHING, gradient, noisy, only, varied
from vit.data.batches import to_unit


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
