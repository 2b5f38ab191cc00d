import torch

from tests.data.augmentation.common import only, varied
from vit.data.augmentation.erasing import GREY


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
