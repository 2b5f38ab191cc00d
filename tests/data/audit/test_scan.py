import shutil

import numpy as np
import pytest
from PIL import Image

from tests.drawn import draw, noise
from vit.data.audit.findings import audit
from vit.data.audit.scan import misnamed, scan
from vit.data.manifest import list_images
from vit.errors import UserError


def broken_folder(root):
    """Five images, four files that are none and one that ends early; the paths of the latter five."""
    for index in range(5):
        draw(root / "cat" / f"{index}.png", index)
    draw(root / "dog" / "late.jpg", 9, 60, 60)
    draw(root / "dog" / "late.png", 9, 60, 60)
    for name in ("late.jpg", "late.png"):
        whole = (root / "dog" / name).read_bytes()
        (root / "dog" / name).write_bytes(whole[: len(whole) // 2])
    (root / "dog" / "empty.png").write_bytes(b"")
    (root / "dog" / "text.jpg").write_text("this is no picture")
    (root / "dog" / "page.png").write_text("<!doctype html><p>404")
    return ["dog/empty.png", "dog/late.jpg", "dog/late.png", "dog/page.png", "dog/text.jpg"]


def test_every_unreadable_file_is_found_with_a_reason_that_does_not_repeat_its_path(tmp_path):
    bad = broken_folder(tmp_path)
    found = audit(tmp_path, list_images(tmp_path), max_broken_fraction=0.5)
    assert [row.path for row, _ in found.broken] == bad
    assert all(len(reason) > 10 and str(tmp_path) not in reason for _, reason in found.broken)
    assert [row.path for row in found.rows] == [f"cat/{index}.png" for index in range(5)]


def test_more_unreadable_files_than_allowed_stop_the_audit_with_a_list(tmp_path):
    broken_folder(tmp_path)
    with pytest.raises(UserError) as caught:
        audit(tmp_path, list_images(tmp_path), max_broken_fraction=0.49)
    message = str(caught.value)
    assert message.startswith("5 of 10 images cannot be read, more than split.max_broken_fraction 0.49: dog/empty.png:")
    assert "By class: 5 of 5 in 'dog'. " in message
    assert "dog/text.jpg" in message and "more (all" not in message and "logs/vit.log" in message


def test_a_long_list_is_cut_after_five_and_counted(tmp_path):
    for name in "abcdefgh":
        (tmp_path / "cat").mkdir(exist_ok=True)
        (tmp_path / "cat" / f"{name}.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"8 of 8 .* cat/e\.png: [^;]*; and 3 more \(all in logs/vit\.log\)"):
        audit(tmp_path, list_images(tmp_path), max_broken_fraction=0.0)


def test_no_readable_image_at_all_stops_the_audit_whatever_is_allowed(tmp_path):
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "a.png").write_bytes(b"")
    with pytest.raises(UserError, match="none of 1 images in data/raw can be read"):
        audit(tmp_path, list_images(tmp_path), max_broken_fraction=1.0)
    with pytest.raises(UserError, match="none of 0 images in data/raw can be read"):
        audit(tmp_path / "absent", list_images(tmp_path / "absent"), max_broken_fraction=1.0)


def test_files_with_the_ending_of_another_format_are_named_and_used(tmp_path):
    draw(tmp_path / "cat" / "right.png", 0)
    draw(tmp_path / "cat" / "right.JPEG", 1)
    draw(tmp_path / "cat" / "bitmap.bmp", 2).rename(tmp_path / "cat" / "bitmap.jpg")
    draw(tmp_path / "cat" / "photo.jpg", 3).rename(tmp_path / "cat" / "photo.png")
    found = audit(tmp_path, list_images(tmp_path), 0.0)
    assert len(found.rows) == 4
    assert misnamed(found.scan) == [("cat/bitmap.jpg", "BMP"), ("cat/photo.png", "JPEG")]


def test_a_jpeg_with_further_pictures_behind_it_is_not_misnamed(tmp_path):
    first, second = (Image.fromarray(noise(8, 8, seed=seed)) for seed in (0, 1))
    (tmp_path / "cat").mkdir()
    first.save(tmp_path / "cat" / "phone.jpg", "MPO", save_all=True, append_images=[second])
    found = scan(tmp_path, list_images(tmp_path))
    assert [look.format for look in found.looks] == ["MPO"]
    assert misnamed(found) == []


def test_equal_pixels_are_recognized_in_another_format_and_outside_train_kept(tmp_path):
    image = Image.fromarray(noise(12, 16))
    for path in ("cat/train/one.png", "cat/test/two.bmp", "cat/train/three.tif"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        image.save(tmp_path / path)
    draw(tmp_path / "cat" / "train" / "other.png", 1)
    found = audit(tmp_path, list_images(tmp_path), 0.0)
    assert [row.path for row in found.rows] == ["cat/test/two.bmp", "cat/train/other.png"]
    assert [(copy.path, kept.path) for copy, kept in found.copies] == [
        ("cat/train/one.png", "cat/test/two.bmp"),
        ("cat/train/three.tif", "cat/test/two.bmp"),
    ]


def test_equal_pixels_of_another_shape_are_another_picture(tmp_path):
    pixels = noise(6, 8)
    (tmp_path / "cat").mkdir()
    Image.fromarray(pixels).save(tmp_path / "cat" / "wide.png")
    Image.fromarray(pixels.reshape(8, 6, 3)).save(tmp_path / "cat" / "high.png")
    assert audit(tmp_path, list_images(tmp_path), 0.0).copies == []


def test_equal_pixels_under_two_labels_are_in_no_part_of_the_findings(tmp_path):
    draw(tmp_path / "cat" / "1.png", 5)
    draw(tmp_path / "dog" / "1.bmp", 5)
    draw(tmp_path / "dog" / "2.png", 6)
    found = audit(tmp_path, list_images(tmp_path), 0.0)
    assert [row.path for row in found.contradictory] == ["cat/1.png", "dog/1.bmp"]
    assert ([row.path for row in found.rows], found.copies) == (["dog/2.png"], [])


def test_what_a_picture_shows_is_measured_in_its_pixels(tmp_path):
    # 40 x 20 with black bars of 10 columns at either side: half of the area. Brighter to the right in the middle.
    pixels = np.zeros((20, 40, 3), dtype=np.uint8)
    pixels[:, 10:30] = np.linspace(100, 250, 20).astype(np.uint8)[None, :, None]
    (tmp_path / "cat").mkdir()
    Image.fromarray(pixels).save(tmp_path / "cat" / "1.png")
    (look,) = scan(tmp_path, list_images(tmp_path)).looks
    assert (look.format, look.width, look.height, look.bars) == ("PNG", 40, 20, 0.5)
    assert look.thumbnail.shape == (24, 24, 3) and look.thumbnail.dtype == np.uint8
    # The hash compares 9 columns of 4.4 pixels: two black ones (0), then brighter until the sixth (1, 1, 1, 1), the
    # seventh a quarter black (0), black (0), black (0); each of its 8 rows the same.
    row = look.dhash >> 56
    assert look.dhash == int.from_bytes(bytes([row]) * 8)
    assert f"{row:08b}" == "01111000"


def test_a_pool_of_processes_finds_what_one_finds_in_the_same_order(tmp_path):
    bad = broken_folder(tmp_path)
    for index in range(210):  # a pool is worth it from 200 on
        shutil.copy(tmp_path / "cat" / f"{index % 5}.png", tmp_path / "cat" / f"copy{index}.png")
    rows = list_images(tmp_path)
    alone, pool = (scan(tmp_path, rows, processes) for processes in (1, 2))
    assert alone.rows == pool.rows and alone.broken == pool.broken
    assert [row.path for row, _ in pool.broken] == bad
    assert [look.pixels for look in alone.looks] == [look.pixels for look in pool.looks]
    assert np.array_equal(alone.thumbnails, pool.thumbnails)


def test_a_name_that_is_hardly_text_is_scanned(tmp_path):
    name = "weiße Katze, \"groß\"\n№1 — 'müde'.png"
    draw(tmp_path / "été" / name)
    assert [row.path for row in scan(tmp_path, list_images(tmp_path)).rows] == [f"été/{name}"]
