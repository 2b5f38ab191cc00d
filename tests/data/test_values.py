"""Images of more than 8 bits: what is read of them, the range that a data set has, and the levels that come of it."""

from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from tests.deep import png16, ppm16, ramp, tiff
from tests.drawn import noise
from vit.data.formats import open_image
from vit.data.images import load_image
from vit.data.values import EIGHT_BITS, clipped_share, find_range, kind_of, read_values, to_levels
from vit.errors import UserError

RANDOM = np.random.default_rng(0)


def read(content: bytes):
    with open_image(BytesIO(content)) as image:
        return kind_of(image), *read_values(image, lambda: open_image(BytesIO(content)))


def random(dtype: str, *shape: int) -> np.ndarray:
    if np.dtype(dtype).kind == "f":
        return (RANDOM.normal(size=shape) * 1000).astype(dtype)
    limits = np.iinfo(dtype)
    return RANDOM.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", ["int8", "uint16", "int16", "int32", "float32"])
def test_a_tiff_of_one_band_gives_the_values_that_are_stored(dtype, order, compressed):
    stored = random(dtype, 5, 7)
    kind, pixels, alpha = read(tiff(stored, order, compressed))
    assert np.array_equal(pixels, stored) and alpha is None
    assert kind == {"float32": "floating point", "uint16": "16 bits"}.get(dtype, f"{dtype[3:]} bits, signed")


@pytest.mark.parametrize("compressed", [False, True])
def test_32_bits_without_a_sign_reach_beyond_what_pillow_can_hold(compressed):
    stored = np.array([[0, 1, 2**31 - 1], [2**31, 2**32 - 2, 2**32 - 1]], dtype=np.uint32)
    kind, pixels, _ = read(tiff(stored, "<", compressed))
    assert pixels.tolist() == stored.tolist() and kind == "32 bits"


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_tiff_of_16_bit_colours_gives_all_16_bits(order, compressed):
    stored = random("uint16", 5, 7, 4)
    kind, pixels, alpha = read(tiff(stored[..., :3], order, compressed))
    assert np.array_equal(pixels, stored[..., :3]) and alpha is None and kind == "16 bits"
    _, pixels, alpha = read(tiff(stored, order, compressed, alpha=2))
    assert np.array_equal(pixels, stored[..., :3]) and np.array_equal(alpha, stored[..., 3] >> 8)
    for unspecified in (0, None):  # near infrared, say, and no transparency
        _, pixels, alpha = read(tiff(stored, order, compressed, alpha=unspecified))
        assert np.array_equal(pixels, stored[..., :3]) and alpha is None


@pytest.mark.parametrize("bands", [1, 2, 3, 4])
def test_a_png_of_16_bits_gives_all_of_them(bands):
    stored = random("uint16", 5, 7, bands)
    kind, pixels, alpha = read(png16(stored))
    colours = 1 if bands < 3 else 3
    assert np.array_equal(pixels.reshape(5, 7, colours), stored[..., :colours]) and kind == "16 bits"
    if bands in (2, 4):
        assert np.array_equal(alpha, stored[..., -1] >> 8)
    else:
        assert alpha is None


def test_portable_maps_give_parts_of_what_their_head_allows():
    grey, colours = random("uint16", 5, 7), random("uint16", 5, 7, 3)
    assert np.array_equal(read(ppm16(grey))[1], grey) and np.array_equal(read(ppm16(colours))[1], colours)
    assert np.abs(read(ppm16(colours >> 4, 4095))[1] - (colours >> 4) * (65535 / 4095)).max() <= 0.51
    assert np.abs(read(ppm16(grey >> 4, 4095))[1] - (grey >> 4) * (65535 / 4095)).max() <= 0.51


def test_a_portable_map_of_floating_point_numbers_is_read():
    stored, file = random("float32", 5, 7), BytesIO()
    Image.fromarray(stored).save(file, "PPM")
    assert file.getvalue().startswith(b"Pf")
    kind, pixels, _ = read(file.getvalue())
    assert np.array_equal(pixels, stored) and kind == "floating point"


def test_pixels_without_a_value_are_nan():
    stored = np.array([[1, -9999, 3], [4, 5, -9999]], dtype=np.int16)
    _, pixels, _ = read(tiff(stored, nodata="-9999"))
    assert np.isnan(pixels).tolist() == (stored == -9999).tolist()
    floats = np.array([[1, np.nan], [-3.4028234663852886e38, 2]], dtype=np.float32)
    assert np.isnan(read(tiff(floats, nodata="-3.4028234663852886e+38"))[1]).tolist() == [[False, True], [True, False]]
    for unusable in ("nan", "none", "-99999999"):
        assert np.isnan(read(tiff(floats, nodata=unusable))[1]).sum() == 1


def test_deep_images_stand_upright_after_their_orientation(tmp_path):
    stored = random("uint16", 4, 6)
    for content in (tiff(stored, orientation=6), tiff(stored, compressed=True, orientation=6)):
        assert np.array_equal(read(content)[1], np.rot90(stored, -1))
    colours = random("uint16", 4, 6, 3)
    assert np.array_equal(read(tiff(colours, orientation=6))[1], np.rot90(colours, -1))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "CMYK"])
def test_all_else_has_8_bits(tmp_path, mode):
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    Image.fromarray(noise(4, 4)).convert(mode).save(path)
    with open_image(path) as image:
        assert kind_of(image) == EIGHT_BITS


# The range


@pytest.mark.parametrize("bits", range(8, 17))
def test_whole_numbers_from_0_on_have_the_depth_that_holds_them(bits):
    assert find_range(np.arange(2**bits, dtype=float), True)[0] == [0, 2**bits - 1]
    assert find_range(np.arange(2**bits // 2 + 40, dtype=float), True)[0] == [0, 2**bits - 1]


def test_few_hot_pixels_do_not_darken_a_data_set():
    values = RANDOM.integers(0, 4096, 100_000).astype(float)
    values[:50] = 65535
    value_range, rule = find_range(values, True)
    assert value_range == [0, 4095] and rule == "12 bits hold 99.9% of the values"


def test_a_large_black_background_hides_no_small_bright_object():
    values = np.zeros(1_000_000)
    values[:500] = np.linspace(1, 60_000, 500)
    assert find_range(values, True)[0] == [0, 65535]


def test_values_far_from_0_are_spread_from_quantile_to_quantile():
    thermal = RANDOM.integers(27_000, 31_000, 100_000).astype(float)  # hundredths of a kelvin
    (low, high), rule = find_range(np.append(thermal, np.zeros(999)), True)
    assert 27_000 <= low < 27_020 and 30_980 < high < 31_000 and rule == "0.1% and 99.9% quantile of the values"


def test_signed_and_floating_point_values_are_spread_from_quantile_to_quantile():
    hounsfield = np.linspace(-1024, 3071, 100_000)
    (low, high), _ = find_range(hounsfield.round(), True)
    assert type(low) is int and (low, high) == pytest.approx((-1020, 3067), abs=1)
    assert find_range(np.linspace(0, 1, 100_001), False)[0] == pytest.approx([0.001, 0.999], abs=2e-5)
    assert find_range(np.linspace(0, 1e7, 100_001), True)[0] == pytest.approx([1e4, 9.99e6], rel=0.01)


@pytest.mark.parametrize("are_whole", [True, False])
@pytest.mark.parametrize("values", [[], [np.nan], [0, 0], [7, 7, 7], [-3], [np.inf, 5.0]])
def test_there_is_a_range_of_whatever_values(values, are_whole):
    (low, high), _ = find_range(np.array(values, dtype=float), are_whole)
    assert low < high and np.isfinite([low, high]).all()


NUMBERS = st.floats(-1e9, 1e9, width=32)


@given(arrays.arrays(np.float32, st.integers(1, 300), elements=NUMBERS), st.booleans())
def test_a_range_is_ordered_and_leaves_out_no_more_than_a_thousandth_at_either_end(values, are_whole):
    values = values.round() if are_whole else values
    (low, high), _ = find_range(values.astype(float), are_whole)
    others = values[values != 0].astype(float)
    assert low < high
    slack = 2 * max(abs(low), abs(high)) * 1e-5  # six digits are kept
    for outside in (others < low - slack, others > high + slack):
        assert outside.sum() <= 0.001 * len(others) + 1


@given(
    arrays.arrays(np.float32, (3, 5), elements=st.floats(width=32)),
    st.tuples(NUMBERS, NUMBERS).filter(lambda pair: pair[1] - pair[0] > 1e-3),
)
def test_levels_keep_the_order_of_values_and_clip_what_is_beyond(pixels, value_range):
    low, high = value_range
    levels = to_levels(pixels.astype(np.float64), value_range)
    assert (levels[np.isnan(pixels) | (pixels <= low)] == 0).all() and (levels[pixels >= high] == 255).all()
    known = ~np.isnan(pixels)
    order = np.argsort(pixels[known])
    assert (np.diff(levels[known][order].astype(int)) >= 0).all()
    assert clipped_share(pixels, value_range) == np.mean((pixels < low) | (pixels > high))


# What load_image makes of it


def loaded(content: bytes, value_range=None, channels: int = 1, **options) -> np.ndarray:
    return load_image(BytesIO(content), (16, 16), channels, "crop", value_range=value_range, **options)


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
@pytest.mark.parametrize("encode", [png16, tiff, lambda p: tiff(p, ">"), ppm16, lambda p: tiff(p.astype("int32"))])
def test_a_ramp_of_any_depth_becomes_a_ramp_of_8_bits(bits, encode):
    stored = ramp(0, 2**bits - 1).round().astype(np.uint16)
    expected = ramp(0, 255).round()
    found = loaded(encode(stored), [0, 2**bits - 1])
    assert np.abs(found[..., 0] - expected).max() <= 1
    coloured = loaded(png16(np.repeat(stored[..., None], 3, axis=2)), [0, 2**bits - 1], channels=3)
    assert np.abs(coloured - expected[..., None]).max() <= 1


def test_signed_and_floating_point_ramps_become_ramps_of_8_bits():
    for dtype, low, high in (("int16", -1024, 3071), ("float32", -0.5, 1.5), ("int32", -70_000, 90_000)):
        found = loaded(tiff(ramp(low, high).astype(dtype)), [low, high])
        assert np.abs(found[..., 0] - ramp(0, 255)).max() <= 1


def test_nan_and_nodata_are_black_and_infinity_is_white():
    stored = np.full((16, 16), 0.5, dtype=np.float32)
    stored[0, :4] = np.nan, np.inf, -np.inf, -9999
    found = loaded(tiff(stored, nodata="-9999"), [0.0, 1.0])[..., 0]
    assert found[0, :4].tolist() == [0, 255, 0, 0] and found[1, 0] == 128


def test_transparency_of_deep_images_lies_on_the_background():
    stored = np.zeros((16, 16, 2), dtype=np.uint16)
    stored[:8] = 4095, 65535
    for background, level in (("white", 255), ("black", 0), ("gray", 128)):
        found = loaded(png16(stored), [0, 4095], background=background)
        assert (found[:8] == 255).all() and (found[8:] == level).all()


@pytest.mark.parametrize("value_range", [None, "auto"])
def test_without_a_range_images_are_read_as_by_earlier_releases(value_range):
    stored = ramp(0, 65535).astype(np.uint16)
    assert np.array_equal(loaded(png16(stored), value_range)[..., 0], stored // 257)
    with pytest.raises(UserError, match="floating-point numbers of unknown range"):
        loaded(tiff(stored.astype(np.float32)), value_range)


@pytest.mark.parametrize("value_range", [None, "auto", [0, 4095], [-1.5, 0.25]])
@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
def test_8_bits_stay_what_they_are_whatever_the_range(mode, value_range):
    file = BytesIO()
    Image.fromarray(noise(16, 16)).convert(mode).save(file, "PNG")
    with Image.open(file) as image:
        expected = np.asarray(image.convert("RGB"))
    assert np.array_equal(loaded(file.getvalue(), value_range, channels=3), expected)


def test_what_the_range_does_not_suit_is_noticed():
    notices: list[str] = []
    bright = np.full((16, 16), 5000, dtype=np.uint16)
    loaded(png16(bright), [0, 4095], notice=notices.append)
    loaded(png16(bright // 2), [0, 4095], notice=notices.append)
    assert notices == ["values outside the range 0 to 4095 are clipped"]
    file = BytesIO()
    Image.new("L", (16, 16)).save(file, "PNG")
    loaded(file.getvalue(), [0, 4095], notice=notices.append)
    assert notices[1].startswith("8 bits per channel, left unchanged")
    loaded(file.getvalue(), None, notice=notices.append)
    assert len(notices) == 2


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("encode", [png16, tiff, lambda p: tiff(p, compressed=True), ppm16])
@pytest.mark.parametrize("bands", [1, 3])
def test_a_truncated_deep_image_is_refused(encode, share, bands):
    shape = (64, 64) if bands == 1 else (64, 64, 3)
    whole = encode(random("uint16", *shape))
    with pytest.raises(UserError):
        loaded(whole[: int(share * len(whole))], [0, 65535])


@pytest.mark.parametrize("dtype", ["float64", "float16"])
def test_a_tiff_of_pixels_that_are_not_read_is_refused_with_those_that_are(dtype):
    with pytest.raises(UserError, match="unsupported pixels; supported are 1 or 3 bands of 8 or 16 bits"):
        loaded(tiff(random(dtype, 16, 16)), [0, 1])
