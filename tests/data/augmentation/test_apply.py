import pytest
import torch

from tests.data.augmentation.common import EVERYTHING, NOTHING, draws_of, noisy, only, varied
from tests.presets import preset
from vit.config.schema import AugmentParams
from vit.data.augmentation.apply import augment
from vit.data.augmentation.changes import draw_changes
from vit.data.batches import normalize, to_unit


def test_settings_of_zero_change_no_pixel():
    images = noisy(3, 6, 8, 3)
    assert torch.equal(varied(images, NOTHING), to_unit(images))


def test_the_result_is_normalized_as_the_served_model_normalizes():
    images, mean, std = noisy(3, 6, 8, 3), [0.4, 0.5, 0.6], [0.2, 0.3, 0.25]
    x = augment(images, draw_changes(3, NOTHING, draws_of()), (6, 8), mean, std)
    assert torch.equal(x, normalize(to_unit(images), mean, std))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", EVERYTHING)
def test_each_setting_changes_images_on_its_own_and_stays_in_range(name, channels):
    images = noisy(32, 12, 16, channels)
    x = varied(images, only(**{name: EVERYTHING[name]}))
    assert torch.allclose(x, to_unit(images), atol=1e-6) is (name == "saturation" and channels == 1)
    assert x.min() >= 0 and x.max() <= 1


def test_equal_seeds_vary_alike_and_others_do_not():
    images, settings = noisy(8, 14, 20, 3), only(**EVERYTHING)
    first = varied(images, settings, (12, 16), seed=1)
    assert torch.equal(first, varied(images, settings, (12, 16), seed=1))
    assert not torch.equal(first, varied(images, settings, (12, 16), seed=2))


def test_the_global_generator_is_neither_read_nor_moved():
    images, settings = noisy(8, 14, 20, 3), only(**EVERYTHING)
    torch.manual_seed(5)
    first = varied(images, settings)
    assert torch.equal(torch.rand(3), torch.rand(3, generator=torch.Generator().manual_seed(5)))
    torch.manual_seed(6)
    assert torch.equal(first, varied(images, settings))


@pytest.mark.parametrize("name", [name for name in EVERYTHING if name not in ("hflip", "erasing")])
def test_the_images_of_a_batch_vary_each_on_its_own(name):
    images = noisy(1, 12, 16, 3).expand(8, -1, -1, -1)
    x = varied(images, only(**{name: EVERYTHING[name] if name != "trivial" else 1.0}), seed=1).flatten(1)
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


def test_a_slice_of_what_was_drawn_makes_the_very_images_of_the_whole():
    images, changes = noisy(9, 14, 20, 3), draw_changes(9, only(**EVERYTHING), draws_of())
    whole = augment(images, changes, (12, 16), [0.4] * 3, [0.2] * 3)
    mine = slice(3, 7)
    part = augment(images[mine], changes.of(mine), (12, 16), [0.4] * 3, [0.2] * 3)
    torch.testing.assert_close(part, whole[mine], atol=1e-5, rtol=0)


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
