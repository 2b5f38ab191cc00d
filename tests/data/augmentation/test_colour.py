import pytest
import torch

from tests.data.augmentation.common import draws_of, noisy, only, varied
from vit.data.augmentation.changes import draw_changes
from vit.data.augmentation.colour import LUMA
from vit.data.batches import to_unit

STEP = 1 / 255


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
    images = noisy(200, 5, 6, 1).expand(-1, -1, -1, 3)
    torch.testing.assert_close(varied(images, only(saturation=0.9)), to_unit(images))
    colours = 100 + noisy(200, 5, 6, 3) // 8  # far from both ends of the range, and
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
    together, drawn = varied(colours, only(**settings)), draw_changes(40, only(**settings), draws_of()).drawn
    alone = {operation.name: (1 + amounts)[:, None, None, None] for operation, amounts in drawn}
    luma = torch.tensor(LUMA)[:, None, None]
    x = to_unit(colours) * alone["brightness"]
    mean = (x * luma).sum(dim=1, keepdim=True).mean(dim=(2, 3), keepdim=True)
    x = mean + (x - mean) * alone["contrast"]
    grey = (x * luma).sum(dim=1, keepdim=True)
    torch.testing.assert_close(together, grey + (x - grey) * alone["saturation"])


@pytest.mark.parametrize("settings", [{}, {"scale": 1e-6}], ids=["pixels side by side", "resampled planes"])
def test_a_mean_grey_is_that_of_every_pixel_in_either_layout_of_memory(settings):
    # A bright right edge and a bright lower edge: a mean that missed either would be another.
    images = torch.full((30, 7, 9, 3), 100, dtype=torch.uint8)
    images[:, -1] = 140
    images[:, :, -1] = 160
    x = varied(images, only(contrast=0.5, **settings))
    expected = to_unit(images).mean(dim=(1, 2, 3))
    torch.testing.assert_close(x.mean(dim=(1, 2, 3)), expected, atol=1e-5, rtol=0)
    assert (x - to_unit(images)).abs().max() > 0.05
