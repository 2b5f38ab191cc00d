import numpy as np
import pytest

from tests.drawn import draw
from tests.presets import preset
from vit.data.images import load_image
from vit.data.pack import channel_statistics, pack_part
from vit.data.split import Row
from vit.errors import UserError
from vit.params import PackParams

CLASSES = ["cat", "dog"]


def pack_params(tmp_path, **changes) -> PackParams:
    settings = {"image_size": [8, 12], "channels": 3, "workers": 1} | changes
    return preset(tmp_path, "shapes", {f"pack.{key}": value for key, value in settings.items()}).pack


def drawn_rows(root, count: int) -> list[Row]:
    """Images of several sizes, in an order that is neither that of the names nor that of the classes."""
    names = [f"{CLASSES[index % 2]}/{(7 * index) % count}.png" for index in range(count)]
    for index, name in enumerate(names):
        draw(root / name, seed=index, height=10 + index % 5, width=20 - index % 7)
    return [Row(name, name.split("/")[0], name) for name in names]


def packed(tmp_path, rows: list[Row], pack: PackParams, name: str = "train") -> tuple[np.ndarray, np.ndarray]:
    images, labels = tmp_path / "packed" / f"{name}_images.npy", tmp_path / "packed" / f"{name}_labels.npy"
    pack_part(tmp_path / "raw", rows, CLASSES, pack, images, labels)
    return np.load(images), np.load(labels)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("fit", ["crop", "stretch"])
def test_the_arrays_hold_each_row_in_order(tmp_path, channels, fit):
    rows = drawn_rows(tmp_path / "raw", 5)
    images, labels = packed(tmp_path, rows, pack_params(tmp_path, channels=channels, fit=fit))
    assert images.dtype == np.uint8 and labels.dtype == np.int64
    expected = [load_image(tmp_path / "raw" / row.path, (8, 12), channels, fit) for row in rows]
    assert np.array_equal(images, np.stack(expected))
    assert labels.tolist() == [0, 1, 0, 1, 0]


def test_several_workers_write_the_bytes_of_one(tmp_path):
    rows = drawn_rows(tmp_path / "raw", 70)  # more than two chunks of 32
    packed(tmp_path, rows, pack_params(tmp_path, workers=1), "one")
    packed(tmp_path, rows, pack_params(tmp_path, workers=2), "two")
    folder = tmp_path / "packed"
    assert (folder / "one_images.npy").read_bytes() == (folder / "two_images.npy").read_bytes()
    assert (folder / "one_labels.npy").read_bytes() == (folder / "two_labels.npy").read_bytes()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_broken_image_is_named_and_leaves_no_images_file(tmp_path, workers):
    rows = drawn_rows(tmp_path / "raw", 5)
    broken = tmp_path / "raw" / rows[3].path
    broken.write_bytes(broken.read_bytes()[:100])
    with pytest.raises(UserError) as caught:
        packed(tmp_path, rows, pack_params(tmp_path, workers=workers))
    assert str(broken) in str(caught.value)
    assert [path.name for path in (tmp_path / "packed").iterdir() if "images" in path.name] == []


def test_a_broken_image_leaves_the_older_images_file(tmp_path):
    rows = drawn_rows(tmp_path / "raw", 3)
    before, _ = packed(tmp_path, rows, pack_params(tmp_path))
    (tmp_path / "raw" / rows[2].path).write_bytes(b"")
    with pytest.raises(UserError):
        packed(tmp_path, rows, pack_params(tmp_path))
    assert np.array_equal(np.load(tmp_path / "packed" / "train_images.npy"), before)


def test_channel_statistics_are_those_of_all_pixels():
    generator = np.random.default_rng(0)
    images = generator.integers(0, [[[256, 100, 3]]], (40, 6, 5, 3)).astype(np.uint8)
    statistics = channel_statistics(images)
    pixels = images.reshape(-1, 3) / 255
    assert statistics["mean"] == pytest.approx(pixels.mean(axis=0).tolist(), abs=1e-6)
    assert statistics["std"] == pytest.approx(pixels.std(axis=0).tolist(), abs=1e-6)


def test_statistics_of_grey_images_are_one_number_each():
    images = np.array([0, 255, 0, 255], dtype=np.uint8).reshape(2, 1, 2, 1)
    assert channel_statistics(images) == {"mean": [0.5], "std": [0.5]}


def test_a_channel_that_never_varies_has_the_deviation_one():
    images = np.zeros((3, 4, 4, 3), dtype=np.uint8)
    images[..., 1] = 77
    images[0, ..., 2] = 255
    statistics = channel_statistics(images)
    assert statistics["std"][:2] == [1.0, 1.0]
    assert statistics["std"][2] == pytest.approx((2 / 9) ** 0.5, abs=1e-6)  # a third is 1, the rest 0
    assert statistics["mean"] == pytest.approx([0, 77 / 255, 1 / 3], abs=1e-6)
