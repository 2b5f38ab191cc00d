import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from pillow_heif import register_heif_opener

from tests.drawn import draw, noise
from vit.data.formats import SUFFIXES
from vit.data.images import MAX_PIXELS, content_box, load_image, packed_size
from vit.errors import UserError

register_heif_opener()  # to write them; what is tested registers it when it meets one
LOSSY = {".jpg", ".jpeg", ".jfif", ".gif", ".webp", ".avif", ".heic", ".heif"}


def saved(image: Image.Image, path, **options):
    image.save(path, **options)
    return path


@pytest.mark.parametrize("fit", ["crop", "stretch"])
@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_of_the_asked_size_keeps_every_pixel(tmp_path, fit, channels):
    pixels = noise(5, 7, channels)
    path = saved(Image.fromarray(pixels), tmp_path / "a.png")
    assert np.array_equal(load_image(path, [5, 7], channels, fit), pixels.reshape(5, 7, channels))


@pytest.mark.parametrize("suffix", sorted(SUFFIXES - LOSSY))
def test_every_lossless_format_gives_the_same_pixels(tmp_path, suffix):
    pixels = noise(5, 7)
    path = saved(Image.fromarray(pixels), tmp_path / f"a{suffix}")
    assert np.array_equal(load_image(path, (5, 7), 3, "crop"), pixels)


@pytest.mark.parametrize("suffix", sorted(LOSSY))
def test_every_lossy_format_gives_nearly_the_same_colour(tmp_path, suffix):
    path = saved(Image.new("RGB", (7, 5), (200, 40, 90)), tmp_path / f"a{suffix}")
    colour = load_image(path, (5, 7), 3, "crop").astype(int)
    assert np.abs(colour - (200, 40, 90)).max() <= 6


# What each value of the EXIF orientation tag says about the stored pixels, as the operation that undoes it.
UPRIGHT = {
    1: lambda pixels: pixels,
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.transpose(1, 0, 2),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: pixels.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda pixels: np.rot90(pixels),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_an_image_stands_upright_after_its_exif_orientation(tmp_path, orientation):
    pixels = noise(4, 6)
    expected = UPRIGHT[orientation](pixels)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(Image.fromarray(pixels), tmp_path / "a.png", exif=exif)
    assert np.array_equal(load_image(path, expected.shape[:2], 3, "crop"), expected)


def test_a_large_jpeg_stands_upright_too(tmp_path):
    # Large enough for the decoder to shrink it while decoding; red above blue, stored on its side.
    upright = np.zeros((800, 400, 3), dtype=np.uint8)
    upright[:400, :, 0] = upright[400:, :, 2] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    path = saved(Image.fromarray(np.rot90(upright)), tmp_path / "a.jpg", exif=exif, quality=95)
    small = load_image(path, (16, 8), 3, "crop").astype(int)
    assert np.abs(small[:6] - (254, 0, 0)).max() < 10
    assert np.abs(small[-6:] - (0, 0, 254)).max() < 10


@pytest.mark.parametrize(("height", "width"), [(480, 480), (360, 960)])
def test_a_large_jpeg_shrinks_to_what_its_full_size_shrinks_to(tmp_path, height, width):
    # Stripes 3 pixels wide after shrinking: the decoder's own shrinking may not cost them.
    row, column = np.mgrid[0:height, 0:width]
    stripes = ((row // 18 + column // 18) % 2 * 200 + 20).astype(np.uint8)
    jpeg = saved(Image.fromarray(stripes), tmp_path / "a.jpg", quality=98)
    png = saved(Image.fromarray(stripes), tmp_path / "a.png")
    size = (height // 6, width // 6)
    difference = load_image(jpeg, size, 1, "crop").astype(int) - load_image(png, size, 1, "crop")
    assert np.abs(difference).mean() < 3


def test_transparency_lies_on_white(tmp_path):
    rgba = np.zeros((2, 2, 4), dtype=np.uint8)
    rgba[0, 0] = (255, 0, 0, 255)
    rgba[0, 1] = (255, 0, 0, 0)
    rgba[1, 0] = (0, 0, 0, 0)
    rgba[1, 1] = (0, 0, 0, 51)  # a fifth of black on white: 255 * 0.8 = 204
    path = saved(Image.fromarray(rgba), tmp_path / "a.png")
    expected = [[[255, 0, 0], [255, 255, 255]], [[255, 255, 255], [204, 204, 204]]]
    assert load_image(path, (2, 2), 3, "crop").tolist() == expected


def test_transparent_grey_lies_on_white(tmp_path):
    grey_alpha = np.array([[[0, 255], [0, 0]], [[100, 255], [100, 0]]], dtype=np.uint8)
    path = saved(Image.fromarray(grey_alpha), tmp_path / "a.png")
    assert load_image(path, (2, 2), 1, "crop")[..., 0].tolist() == [[0, 255], [100, 255]]


def test_a_palette_gives_its_colours(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putdata([1, 0])
    path = saved(image, tmp_path / "a.png")
    assert load_image(path, (1, 2), 3, "crop").tolist() == [[[200, 100, 50], [10, 20, 30]]]


def test_the_transparent_entry_of_a_palette_is_white(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putdata([1, 0])
    path = saved(image, tmp_path / "a.png", transparency=0)
    assert load_image(path, (1, 2), 3, "crop").tolist() == [[[200, 100, 50], [255, 255, 255]]]


def test_printing_colours_become_screen_colours(tmp_path):
    path = saved(Image.new("CMYK", (4, 4), (0, 255, 255, 0)), tmp_path / "a.tif")  # magenta and yellow: red
    assert (load_image(path, (4, 4), 3, "crop") == (255, 0, 0)).all()


def test_sixteen_bits_are_scaled_to_eight(tmp_path):
    values = np.arange(256, dtype=np.uint16).reshape(16, 16)
    path = saved(Image.fromarray(values * 257), tmp_path / "a.png")  # 65535 = 255 * 257
    assert np.array_equal(load_image(path, (16, 16), 1, "crop")[..., 0], values)
    assert np.array_equal(load_image(path, (16, 16), 3, "crop")[..., 2], values)


def test_one_bit_becomes_black_and_white(tmp_path):
    bits = np.array([[True, False], [False, True]])
    path = saved(Image.fromarray(bits), tmp_path / "a.png")
    assert load_image(path, (2, 2), 1, "crop")[..., 0].tolist() == [[255, 0], [0, 255]]


def test_grey_has_three_equal_colours(tmp_path):
    pixels = noise(4, 4, 1)
    path = saved(Image.fromarray(pixels), tmp_path / "a.png")
    assert np.array_equal(load_image(path, (4, 4), 3, "crop"), np.repeat(pixels[..., None], 3, axis=2))


def test_colours_become_their_luma(tmp_path):
    image = Image.new("RGB", (3, 1))
    image.putdata([(255, 0, 0), (0, 255, 0), (0, 0, 255)])
    path = saved(image, tmp_path / "a.png")
    # ITU-R 601: 0.299 R + 0.587 G + 0.114 B.
    assert load_image(path, (1, 3), 1, "crop")[0, :, 0].tolist() == [76, 150, 29]


def test_the_first_frame_of_an_animation_counts(tmp_path):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    path = saved(frames[0], tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert (load_image(path, (4, 4), 3, "crop") == (255, 0, 0)).all()


def test_crop_cuts_the_overhang_and_stretch_keeps_it(tmp_path):
    # 8 rows x 32 columns: red, then a white square in the middle, then blue.
    pixels = np.zeros((8, 32, 3), dtype=np.uint8)
    pixels[:, :12, 0] = pixels[:, 20:, 2] = 255
    pixels[:, 12:20] = 255
    path = saved(Image.fromarray(pixels), tmp_path / "a.png")
    assert (load_image(path, (8, 8), 3, "crop") == 255).all()
    stretched = load_image(path, (8, 8), 3, "stretch").astype(int)
    assert np.abs(stretched[:, 0] - (255, 0, 0)).max() < 10
    assert np.abs(stretched[:, -1] - (0, 0, 255)).max() < 10


def test_crop_keeps_a_disk_round_where_stretch_flattens_it(tmp_path):
    row, column = np.mgrid[0:90, 0:160]
    disk = np.where((row - 44.5) ** 2 + (column - 79.5) ** 2 < 40**2, 255, 0).astype(np.uint8)
    path = saved(Image.fromarray(disk), tmp_path / "a.png")
    extents = {}
    for fit in ("crop", "stretch"):
        inside = load_image(path, (45, 45), 1, fit)[..., 0] > 127
        extents[fit] = inside.any(axis=1).sum() / inside.any(axis=0).sum()
    assert extents["crop"] == pytest.approx(1, abs=0.06)
    assert extents["stretch"] == pytest.approx(160 / 90, abs=0.1)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_fine_checkerboard_shrinks_to_grey(tmp_path, suffix):
    row, column = np.mgrid[0:256, 0:256]
    board = ((row + column) % 2 * 255).astype(np.uint8)
    path = saved(Image.fromarray(board), tmp_path / f"a{suffix}")
    small = load_image(path, (8, 8), 1, "crop").astype(int)
    assert np.abs(small - 127.5).max() < 8


def test_an_image_of_one_pixel_is_enlarged(tmp_path):
    path = saved(Image.new("RGB", (1, 1), (9, 8, 7)), tmp_path / "a.png")
    assert (load_image(path, (4, 6), 3, "crop") == (9, 8, 7)).all()


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_bytes_give_the_pixels_of_the_file_that_holds_them(tmp_path, name):
    path = draw(tmp_path / name, height=50, width=70)
    from_bytes = load_image(BytesIO(path.read_bytes()), (16, 24), 3, "crop")
    assert np.array_equal(from_bytes, load_image(path, (16, 24), 3, "crop"))


def test_the_ending_of_the_name_does_not_decide_the_format(tmp_path):
    path = draw(tmp_path / "a.png")
    renamed = path.rename(tmp_path / "a.jpg")
    assert np.array_equal(load_image(renamed, (6, 9), 3, "crop"), noise(6, 9))


def assert_refused(path, *fragments):
    with pytest.raises(UserError) as caught:
        load_image(path, (8, 8), 3, "crop")
    for fragment in (str(path), *fragments):
        assert fragment in str(caught.value)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("suffix", sorted(SUFFIXES))
def test_a_truncated_image_is_refused_by_name(tmp_path, suffix, share):
    whole = draw(tmp_path / f"whole{suffix}", height=64, width=64).read_bytes()
    path = tmp_path / f"frame 7{suffix}"
    path.write_bytes(whole[: int(share * len(whole))])
    assert_refused(path)


def test_an_empty_file_is_refused_by_name(tmp_path):
    path = tmp_path / "empty.png"
    path.touch()
    assert_refused(path, "not an image")


def test_a_text_called_png_is_refused_by_name(tmp_path):
    path = tmp_path / "text.png"
    path.write_text("<html>404</html>")
    assert_refused(path, "not an image")


def test_a_missing_file_is_refused_by_name(tmp_path):
    assert_refused(tmp_path / "absent.png", "no such file")


def test_a_folder_is_refused_by_name(tmp_path):
    assert_refused(tmp_path)


def png_of(height: int, width: int, path):
    """A PNG that announces so many pixels and holds none."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
    return path


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")  # as the module does outside of pytest
@pytest.mark.parametrize(("height", "width"), [(30_000, 30_000), (10_000, 10_000), (1, MAX_PIXELS + 1)])
def test_a_decompression_bomb_is_refused_by_its_number_of_pixels(tmp_path, height, width):
    assert_refused(png_of(height, width, tmp_path / "bomb.png"), f"{height * width} pixels", "bomb", str(MAX_PIXELS))


def test_as_many_pixels_as_are_allowed_are_decoded(tmp_path):
    assert_refused(png_of(1, MAX_PIXELS, tmp_path / "wide.png"), "broken image")  # tried, and found empty


def test_an_image_in_bytes_that_is_too_large_is_called_an_image(tmp_path):
    with pytest.raises(UserError, match=r"^image: .*900000000 pixels"):
        load_image(BytesIO(png_of(30_000, 30_000, tmp_path / "bomb.png").read_bytes()), (8, 8), 3, "crop")


def test_floating_point_pixels_are_refused_by_name(tmp_path):
    path = saved(Image.fromarray(np.ones((4, 4), dtype=np.float32)), tmp_path / "depth.tif")
    assert_refused(path, "floating-point")


# Margin


def test_a_margin_enlarges_each_side_by_its_share():
    assert packed_size((64, 112), 0.0) == (64, 112)
    assert packed_size([64, 112], 0.125) == (72, 126)
    assert packed_size((10, 7), 0.1) == (11, 8)  # 7.7 is nearest to 8


@pytest.mark.parametrize("fit", ["crop", "stretch"])
def test_without_its_margin_an_image_is_the_middle_of_the_one_with_it(tmp_path, fit):
    path = draw(tmp_path / "a.png", height=50, width=70)
    whole = load_image(path, (20, 30), 3, fit, margin=0.2, keep_margin=True)
    assert whole.shape == (24, 36, 3)
    assert np.array_equal(whole, load_image(path, (24, 36), 3, fit))
    assert np.array_equal(load_image(path, (20, 30), 3, fit, margin=0.2), whole[2:22, 3:33])


# Black bars


def barred(top: int, right: int, bottom: int, left: int, height: int = 90, width: int = 160) -> np.ndarray:
    """A bright noisy picture with black bars of so many pixels."""
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    inside = (slice(top, height - bottom), slice(left, width - right))
    pixels[inside] = noise(height, width)[inside] // 2 + 64
    return pixels


BARS = [(0, 0, 0, 0), (12, 0, 12, 0), (0, 20, 0, 20), (10, 5, 0, 31), (0, 1, 0, 0)]


@pytest.mark.parametrize("bars", BARS)
def test_black_bars_are_outside_of_the_content_box(bars):
    top, right, bottom, left = bars
    assert content_box(Image.fromarray(barred(*bars))) == (left, top, 160 - right, 90 - bottom)


@pytest.mark.parametrize("bars", BARS)
def test_an_image_with_bars_trimmed_is_the_image_that_never_had_them(tmp_path, bars):
    top, right, bottom, left = bars
    pixels = barred(*bars)
    with_bars = saved(Image.fromarray(pixels), tmp_path / "bars.png")
    without = saved(Image.fromarray(pixels[top : 90 - bottom, left : 160 - right]), tmp_path / "none.png")
    trimmed = load_image(with_bars, (16, 24), 3, "crop", trim_bars=True)
    assert np.array_equal(trimmed, load_image(without, (16, 24), 3, "crop"))
    assert np.array_equal(load_image(with_bars, (16, 24), 3, "crop"), trimmed) is (bars == BARS[0])


@pytest.mark.parametrize("quality", [30, 60, 90])
def test_bars_are_found_in_spite_of_jpeg_noise(tmp_path, quality):
    # The bars end on borders of the 8 x 8 (16 x 16 for colour) blocks, beyond which no noise reaches.
    noisy = np.maximum(barred(16, 0, 16, 0, 96, 160), np.random.default_rng(0).integers(0, 9, (96, 160, 3), np.uint8))
    with Image.open(saved(Image.fromarray(noisy), tmp_path / "a.jpg", quality=quality)) as image:
        assert content_box(image) == (0, 16, 160, 80)


@pytest.mark.parametrize("level", [0, 24])
def test_an_image_that_is_black_all_over_stays_whole(level):
    assert content_box(Image.new("RGB", (40, 30), (level, level, level))) == (0, 0, 40, 30)


def test_a_dark_scene_with_a_small_light_stays_whole():
    scene = np.random.default_rng(0).integers(0, 20, (90, 160), np.uint8)
    scene[20:26, 100:106] = 250
    assert content_box(Image.fromarray(scene)) == (0, 0, 160, 90)


def test_a_side_that_would_lose_more_than_half_stays_whole_while_the_other_is_trimmed():
    assert content_box(Image.fromarray(barred(50, 10, 0, 10))) == (10, 0, 150, 90)
    assert content_box(Image.fromarray(barred(45, 10, 0, 10))) == (10, 45, 150, 90)  # half remains: bars


def test_a_grey_border_is_content():
    pixels = barred(10, 0, 10, 0)
    pixels[:10] = 40
    assert content_box(Image.fromarray(pixels)) == (0, 0, 160, 80)


def test_bars_are_trimmed_after_the_image_stands_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = barred(12, 0, 12, 0)
    turned = saved(Image.fromarray(np.rot90(pixels)), tmp_path / "a.png", exif=exif)
    upright = saved(Image.fromarray(pixels), tmp_path / "b.png")
    trimmed = [load_image(path, (16, 24), 3, "crop", trim_bars=True) for path in (turned, upright)]
    assert np.array_equal(*trimmed)


def test_a_large_barred_jpeg_shrinks_to_what_its_full_size_shrinks_to(tmp_path):
    # Stripes 3 pixels wide after shrinking, between bars that take half of the height.
    row, column = np.mgrid[0:960, 0:960]
    stripes = ((row // 18 + column // 18) % 2 * 200 + 50).astype(np.uint8)
    stripes[:240] = stripes[720:] = 0
    jpeg = saved(Image.fromarray(stripes), tmp_path / "a.jpg", quality=98)
    png = saved(Image.fromarray(stripes), tmp_path / "a.png")
    small = [load_image(path, (80, 160), 1, "crop", trim_bars=True).astype(int) for path in (jpeg, png)]
    assert np.abs(small[0] - small[1]).mean() < 3


def test_grey_with_transparency_keeps_its_greys_on_white(tmp_path):
    path = saved(Image.new("LA", (3, 3), (90, 255)), tmp_path / "a.png")
    assert (load_image(path, (3, 3), 3, "crop") == 90).all()


def test_a_cmyk_jpeg_becomes_screen_colours(tmp_path):
    path = saved(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), tmp_path / "a.jpg", quality=95)
    assert np.abs(load_image(path, (8, 8), 3, "crop").astype(int) - (254, 0, 0)).max() < 8


def test_a_text_called_jpg_is_refused_by_name(tmp_path):
    path = tmp_path / "text.jpg"
    path.write_text("not found")
    assert_refused(path, "not an image")


def test_a_header_with_a_text_for_a_number_is_refused_by_name(tmp_path):
    path = saved(Image.fromarray(noise(6, 9, 1)), tmp_path / "broken.tif")
    content = bytearray(path.read_bytes())
    directory = struct.unpack("<I", content[4:8])[0]
    strip_offsets = content.find(struct.pack("<HH", 273, 4), directory)  # tag 273 of kind 4, a number
    content[strip_offsets + 2 : strip_offsets + 4] = struct.pack("<H", 2)  # kind 2, a text
    path.write_bytes(content)
    assert_refused(path, "broken image")


def test_broken_bytes_without_a_name_are_called_an_image():
    with pytest.raises(UserError, match=r"^image: not an image"):
        load_image(BytesIO(b"nothing"), (8, 8), 3, "crop")
