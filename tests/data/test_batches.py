import numpy as np
import pytest
import torch

from tests.drawn import noise
from vit.data.batches import Packed, normalize, to_unit
from vit.data.pack import channel_statistics


def numbered(count: int) -> Packed:
    """Images whose pixel tells their index, with the index as label too."""
    return Packed(torch.arange(count, dtype=torch.uint8)[:, None, None, None], torch.arange(count))


# Order


def test_batches_are_the_images_asked_for_with_their_labels():
    wanted = [[3, 1, 4], [1], [], [9]]
    batches = list(numbered(10).batches(torch.tensor(indices, dtype=torch.int64) for indices in wanted))
    assert [labels.tolist() for _, labels in batches] == wanted
    assert [images.flatten().tolist() for images, _ in batches] == wanted


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
