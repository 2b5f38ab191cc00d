"""Which files count as images: by their content, whatever they are called."""

import sys
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from pillow_heif import register_heif_opener

from tests.data.copied import copied
from tests.deep import png16, ppm16, tiff, write
from tests.drawn import draw, draw_classes, noise
from tests.serving.pictures import encoded, good, no_images, picture, unusual
from vit.data.formats import FORMATS, HEIC, format_of, is_image
from vit.data.images import load_image
from vit.errors import UserError
from vit.inference.labelling import find_images

register_heif_opener()  # to write them
BOX = b"\0\0\0\x0c"
HEIC_FILE = encoded(picture(), "HEIF")
UNREAD = {
    "JPEG 2000": encoded(picture(), "JPEG2000"),
    "JPEG XL": BOX + b"JXL \r\n\x87\n",
    "Photoshop": no_images()["psd"],
    "DICOM": bytes(128) + b"DICM" + bytes(40),
    "OpenEXR": b"v/1\x01\x02\0\0\0",
    "FITS": b"SIMPLE  =                    T",
    "SVG": no_images()["svg"],
}
NO_IMAGES = {name: data for name, data in no_images().items() if name not in ("psd", "svg", "svg with a declaration")}
NO_IMAGES |= {
    "table": b"P5,a,b\n1,2,3\n",
    "note that begins as a bitmap": b"BMW, 40 photos of the 3 series, taken in May 2024\n",
    "note that begins as a pixmap": b"P1 is the pump of line 3, P2 the one of line 4\n",
    "film": BOX + b"ftypisom\0\0\2\0isomiso2avc1mp41",
    "sound": b"RIFF\x24\0\0\0WAVEfmt ",
    "folder settings": b"\0\0\0\1Bud1\0\0\x10\0",
}


@pytest.mark.parametrize("kind", [*FORMATS, HEIC])
def test_every_format_that_is_read_is_known_by_its_content(tmp_path, kind):
    content = HEIC_FILE if kind == HEIC else encoded(picture(), kind)
    for name in ("image", "image.dat", "image.txt", "image.jpeg?w=100"):
        path = write(tmp_path / name, content)
        assert is_image(path) and format_of(path) == kind
        assert load_image(path, (24, 36), 3, "crop").std() > 20


@pytest.mark.parametrize("name", unusual())
def test_unusual_images_are_known_too(tmp_path, name):
    assert is_image(write(tmp_path / "file", unusual()[name]))


@pytest.mark.parametrize("kind", UNREAD)
def test_images_that_are_not_read_are_known_and_refused_by_the_name_of_their_format(tmp_path, kind):
    path = write(tmp_path / "file", UNREAD[kind])
    assert is_image(path) and format_of(path) == kind
    with pytest.raises(UserError, match=f"{kind} files are not supported; convert it to PNG or TIFF"):
        load_image(path, (8, 8), 3, "crop")


@pytest.mark.parametrize("name", NO_IMAGES)
def test_what_is_no_image_is_none_but_by_an_ending_that_promises_one(tmp_path, name):
    assert not is_image(write(tmp_path / "file", NO_IMAGES[name]))
    assert is_image(write(tmp_path / "file.JPG", NO_IMAGES[name]))


def test_a_file_that_cannot_be_opened_is_no_image(tmp_path):
    assert not is_image(tmp_path / "absent") and not is_image(tmp_path)


def test_several_pictures_in_one_file_give_the_first(tmp_path):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "blue")]
    for kind in ("GIF", "WEBP", "PNG", "TIFF", "MPO", "AVIF"):
        path = tmp_path / kind
        frames[0].save(path, kind, save_all=True, append_images=frames[1:])
        assert is_image(path)
        assert np.abs(load_image(path, (8, 8), 3, "crop").astype(int) - (255, 0, 0)).max() < 12


def test_the_preview_within_a_raw_photo_is_not_taken_for_the_photo(tmp_path):
    raw_photo = write(tmp_path / "photo.dng", tiff(noise(8, 8), preview=True))
    with pytest.raises(UserError, match="raw photo, and only its preview could be read; convert it to PNG"):
        load_image(raw_photo, (8, 8), 3, "crop")


def test_heic_without_its_package_is_refused_with_its_name(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)  # as if it were not installed
    path = write(tmp_path / "IMG_0001.HEIC", HEIC_FILE)
    with pytest.raises(UserError, match=r"IMG_0001\.HEIC: a HEIC image, which needs the package pillow-heif; run `pip"):
        load_image(path, (8, 8), 3, "crop")
    with pytest.raises(UserError, match=r"^image: a HEIC image"):
        load_image(BytesIO(HEIC_FILE), (8, 8), 3, "crop")


def mixed(root) -> set[str]:
    """A class of which most images have another ending than usual, and one that has none of them."""
    draw_classes(root, {"dog": 5})
    names = {f"dog/{index:03d}.png" for index in range(5)}
    for index in range(4):
        write(root / "cat" / f"saved{index}.jfif", good(index, "JPEG"))
        write(root / "cat" / f"scraped{index}", good(10 + index, "JPEG"))
        draw(root / "cat" / f"{index}.jpg", 20 + index)
        names |= {f"cat/saved{index}.jfif", f"cat/scraped{index}", f"cat/{index}.jpg"}
    for name, content in {
        "a.avif": encoded(picture(30), "AVIF"), "b.ppm": encoded(picture(31), "PPM"), "c.bin": HEIC_FILE,
        "d": png16(noise(8, 8, 1)), "e.pnm": ppm16(noise(8, 8, 1)),
    }.items():  # fmt: skip
        write(root / "cat" / name, content)
        names.add(f"cat/{name}")
    write(root / "cat" / ".DS_Store", b"\0\0\0\1Bud1")
    write(root / "cat" / "notes.txt", b"taken at home")
    write(root / "labels.csv", b"file,label\n")
    return names


def test_a_folder_gives_all_images_whatever_they_are_called_and_counts_the_rest(tmp_path, caplog):
    names = mixed(tmp_path / "pets")
    found = copied(tmp_path / "pets", tmp_path)
    assert set(found) == names and set(found.tables) == {"labels.csv"}
    assert found.known["ignored"] == {".txt": 1}
    assert "files that are not images, in class" not in caplog.text


def test_a_class_with_many_files_that_are_no_images_is_named(tmp_path, caplog):
    root = draw_classes(tmp_path / "pets", {"cat": 10, "dog": 10})
    for index in range(5):
        write(root / "cat" / f"{index}.npy", b"\x93NUMPY")
    write(root / "dog" / "notes.txt", b"woof")
    copied(root, tmp_path)
    assert "ignored files that are not images, in class 'cat' 5 of 15 (.npy (5))" in caplog.text
    assert "'dog'" not in caplog.text


def test_predict_finds_images_by_content_too(tmp_path):
    names = mixed(tmp_path / "pets")
    found = find_images([str(tmp_path / "pets")])
    assert {path.relative_to(tmp_path / "pets").as_posix() for path in found} == names
