import numpy as np
import pytest

from tests.drawn import draw
from tests.presets import preset
from vit.config.schema import PackParams
from vit.data.images import load_image
from vit.data.manifest import Row
from vit.data.pack import (
    MEASURED,
    channel_statistics,
    check_space,
    in_units,
    measure_files,
    measure_packed,
    pack_images,
    pack_labels,
    packed_bytes,
    part_shape,
)
from vit.errors import UserError
from vit.files import write_table

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


def packed(
    tmp_path, rows: list[Row], pack: PackParams, name: str = "train", part: str = "train"
) -> tuple[np.ndarray, np.ndarray]:
    images, labels = tmp_path / "packed" / f"{name}_images.npy", tmp_path / "packed" / f"{name}_labels.npy"
    table = tmp_path / f"{name}.csv"
    write_table(table, [row._asdict() for row in rows])
    pack_labels(table, CLASSES, labels)
    pack_images(tmp_path / "raw", table, pack, part, images)
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


@pytest.mark.parametrize("workers", [1, 2])
def test_train_arrays_keep_the_margin_and_the_others_are_their_centre(tmp_path, workers):
    rows = drawn_rows(tmp_path / "raw", 40)
    pack = pack_params(tmp_path, margin=0.2, workers=workers)  # 8 x 12 grows to 9.6 x 14.4, rounded
    train, _ = packed(tmp_path, rows, pack)
    val, _ = packed(tmp_path, rows, pack, "val", "val")
    assert train.shape == (40, 10, 14, 3) and val.shape == (40, 8, 12, 3)
    assert np.array_equal(train[:, 1:9, 1:13], val)


def test_an_images_file_has_the_bytes_that_numpy_would_write(tmp_path):
    images, _ = packed(tmp_path, drawn_rows(tmp_path / "raw", 5), pack_params(tmp_path))
    np.save(tmp_path / "numpy.npy", images)
    assert (tmp_path / "packed/train_images.npy").read_bytes() == (tmp_path / "numpy.npy").read_bytes()


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


def test_packed_arrays_and_their_files_have_the_same_statistics(tmp_path):
    rows = drawn_rows(tmp_path / "raw", 70)
    pack = pack_params(tmp_path, margin=0.3, workers=2)
    images, _ = packed(tmp_path, rows, pack)
    statistics = measure_packed(tmp_path / "packed/train_images.npy")
    assert statistics == measure_files(tmp_path / "raw", tmp_path / "train.csv", pack) == channel_statistics(images)


def test_the_statistics_of_many_images_are_those_of_an_even_choice(tmp_path):
    # Every other image is white; of 20,000 images every second one is measured: the black ones.
    images = np.zeros((2 * MEASURED, 1, 1, 1), dtype=np.uint8)
    images[1::2] = 255
    np.save(tmp_path / "images.npy", images)
    assert measure_packed(tmp_path / "images.npy")["mean"] == [0.0]


def test_the_announced_bytes_are_those_of_the_files(tmp_path):
    rows = drawn_rows(tmp_path / "raw", 6)
    pack = pack_params(tmp_path, margin=0.5)
    images, labels = packed(tmp_path, rows, pack)
    shape = part_shape(tmp_path / "train.csv", "train", pack)
    assert shape == images.shape
    assert packed_bytes(shape, pack) == images.nbytes + labels.nbytes
    assert packed_bytes(shape, pack_params(tmp_path, mode="none")) == labels.nbytes


def test_a_disk_that_is_too_small_is_refused_with_both_sizes_and_the_ways_out(tmp_path):
    with pytest.raises(UserError) as caught:
        check_space(10**18, tmp_path)
    for fragment in (str(10**18), "1000000.0 TB", str(tmp_path), " free", "pack.image_size", "pack.mode to none"):
        assert fragment in str(caught.value)
    assert check_space(1, tmp_path) > 1


def test_sizes_are_told_in_the_unit_that_fits():
    told = [in_units(size) for size in (0, 999, 1500, 2_500_000, 3 * 10**9, 4 * 10**12)]
    assert told == ["0.0 kB", "1.0 kB", "1.5 kB", "2.5 MB", "3.0 GB", "4.0 TB"]


def test_a_channel_that_never_varies_has_the_deviation_one():
    images = np.zeros((3, 4, 4, 3), dtype=np.uint8)
    images[..., 1] = 77
    images[0, ..., 2] = 255
    statistics = channel_statistics(images)
    assert statistics["std"][:2] == [1.0, 1.0]
    assert statistics["std"][2] == pytest.approx((2 / 9) ** 0.5, abs=1e-6)  # a third is 1, the rest 0
    assert statistics["mean"] == pytest.approx([0, 77 / 255, 1 / 3], abs=1e-6)
