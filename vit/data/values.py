"""Pixels of more than 8 bits: the stored values, and how a range of them becomes 256 levels."""

import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from PIL import ImageFile, ImageOps

EIGHT_BITS = "8 bits"
NODATA, SAMPLE_FORMAT, BITS, EXTRA_SAMPLES = 42113, 339, 258, 338  # tags of TIFF
UNSIGNED, SIGNED = 1, 2  # of SAMPLE_FORMAT
DEPTHS = range(8, 17)  # bits
TAIL = 0.001  # share of the values that a range may leave out at either end

# Pillow keeps 8 of a colour's 16 bits. Reading the file again in the other byte order yields the other 8.
OTHER_ORDER = {"B": "L", "L": "B", "N": "L" if sys.byteorder == "big" else "B"}
SIXTEEN_BIT_COLOURS = tuple(f"{bands};16{order}" for bands in ("RGB", "RGBA", "RGBX") for order in OTHER_ORDER)
GREY_AND_ALPHA = "LA;16B"
# libtiff returns the machine's byte order, which Pillow 13 mistakes for the file's in these.
NATIVE = {"I;16BS": "I;16NS", "I;32BS": "I;32NS", "F;32BF": "F;32NF"}


class Values(NamedTuple):
    """The stored values: `pixels` (H, W) or (H, W, 3), NaN where nothing was measured; `alpha` uint8 (H, W) or None."""

    pixels: np.ndarray
    alpha: np.ndarray | None


def kind_of(image: ImageFile.ImageFile) -> str:
    """The kind of an opened image's values, e.g. `16 bits`; EIGHT_BITS if Pillow decodes them without loss."""
    if image.mode == "F":
        return "floating point"
    sample_format, bits = _tag(image, SAMPLE_FORMAT, UNSIGNED), _tag(image, BITS, 16)
    if image.mode.startswith("I") or (image.mode == "L" and sample_format == SIGNED):
        return f"{bits} bits, signed" if sample_format == SIGNED else f"{bits} bits"
    if _rawmode(image) in SIXTEEN_BIT_COLOURS or _rawmode(image) == GREY_AND_ALPHA or _is_deep_pixmap(image):
        return "16 bits"
    return EIGHT_BITS


def read_values(image: ImageFile.ImageFile, reopen: Callable[[], ImageFile.ImageFile]) -> Values:
    """Decode an opened image of any kind but EIGHT_BITS, upright; `reopen` opens the same file again."""
    if _is_deep_pixmap(image):
        return Values(_deep_pixmap(image), None)
    rawmode = _rawmode(image)
    if rawmode == GREY_AND_ALPHA:  # two bytes of grey and two of alpha, as four bands of one byte
        image.tile = [_with_rawmode(tile, "RGBA") for tile in image.tile]
        high, low, alpha, _ = np.moveaxis(_decoded(image), 2, 0)
        return Values(high * np.float32(256) + low, alpha)
    if rawmode in SIXTEEN_BIT_COLOURS:
        has_alpha = image.mode == "RGBA" and (image.format == "PNG" or _tag(image, EXTRA_SAMPLES, 0) == 2)
        high = _decoded(image)
        with reopen() as again:
            again.tile = [_with_rawmode(tile, rawmode[:-1] + OTHER_ORDER[rawmode[-1]]) for tile in again.tile]
            low = _decoded(again)
        return Values((high * np.float32(256) + low)[..., :3], high[..., 3] if has_alpha else None)
    return _one_band(image)


def _one_band(image: ImageFile.ImageFile) -> Values:
    nodata, transparent = _nodata(image), image.info.get("transparency")
    sample_format, bits = _tag(image, SAMPLE_FORMAT, UNSIGNED), _tag(image, BITS, 16)
    if _rawmode(image) in NATIVE and image.tile[0].codec_name == "libtiff":
        image.tile = [_with_rawmode(tile, NATIVE[_rawmode(image)]) for tile in image.tile]
    stored = _decoded(image)
    if image.mode == "L":
        stored = stored.view(np.int8)
    elif image.mode == "I" and bits == 32 and sample_format == UNSIGNED:
        stored = stored.view(np.uint32)  # Pillow has no such mode
    pixels = stored.astype(np.float64 if stored.dtype.itemsize == 4 and stored.dtype.kind in "iu" else np.float32)
    if nodata is not None:
        pixels[pixels == pixels.dtype.type(nodata)] = np.nan
    alpha = np.where(pixels == transparent, 0, 255).astype(np.uint8) if isinstance(transparent, int) else None
    return Values(pixels, alpha)


def find_range(values: np.ndarray, are_whole: bool) -> tuple[list[int] | list[float], str]:
    """The range [low, high] that becomes the 256 levels, for values (N,) from a whole data set, and its rule.

    Ignores NaN and 0, which is often the background. Integers >= 0: 0 to 2^bits - 1 for the smallest depth of 8 to
    16 bits that holds 99.9 % of them, if they use a quarter of it. All others: from the 0.1 % to the 99.9 % quantile.
    """
    values = values[np.isfinite(values) & (values != 0)]
    if not len(values):
        return [0, 255], "no value but 0"
    low, high = np.quantile(values, [TAIL, 1 - TAIL], method="closest_observation").tolist()
    bits = next((bits for bits in DEPTHS if high <= 2**bits - 1), None)
    if are_whole and bits is not None and low >= 0 and 4 * (high - low) >= 2**bits - 1:
        return [0, 2**bits - 1], f"{bits} bits hold 99.9% of the values"
    rule = "0.1% and 99.9% quantile of the values"
    if are_whole:
        return [int(low), int(high) if high > low else int(low) + 1], rule
    low, high = float(f"{low:.6g}"), float(f"{high:.6g}")
    return [low, high if high > low else low + 1.0], rule


def to_levels(pixels: np.ndarray, value_range: Sequence[float]) -> np.ndarray:
    """Values to uint8 of the same shape: `low` becomes 0, `high` 255, values outside are clipped; NaN becomes 0."""
    low, high = value_range
    levels = (pixels - low) * (255 / (high - low))
    return np.nan_to_num(levels.clip(0, 255), nan=0).round().astype(np.uint8)


def clipped_share(pixels: np.ndarray, value_range: Sequence[float]) -> float:
    """Share of the values outside the range; NaN does not count as outside."""
    low, high = value_range
    return float(((pixels < low) | (pixels > high)).mean())


def _decoded(image: ImageFile.ImageFile) -> np.ndarray:
    image.load()
    ImageOps.exif_transpose(image, in_place=True)
    return np.asarray(image)


def _rawmode(image: ImageFile.ImageFile) -> str:
    """The layout of the file's bytes, by Pillow's name for it; empty if there is nothing to decode."""
    args = image.tile[0].args if getattr(image, "tile", None) else ""
    return str(args if isinstance(args, str) else args[0]) if args else ""


def _with_rawmode(tile, rawmode: str):
    return tile._replace(args=rawmode if isinstance(tile.args, str) else (rawmode, *tile.args[1:]))


def _is_deep_pixmap(image: ImageFile.ImageFile) -> bool:
    """A colour PPM of two bytes per value, which Pillow reduces to one."""
    return image.format == "PPM" and image.mode == "RGB" and image.tile[0].codec_name == "ppm" and _most(image) > 255


def _most(image: ImageFile.ImageFile) -> int:
    _, most = image.tile[0].args or ("", 0)
    return int(most)


def _deep_pixmap(image: ImageFile.ImageFile) -> np.ndarray:
    """Like Pillow's PGM: in units of 1 / 65535 of the largest value that the header allows."""
    most, size, file = _most(image), image.width * image.height * 3, image.fp
    assert file is not None  # it was just opened
    file.seek(image.tile[0].offset)
    data = file.read(2 * size)
    if len(data) < 2 * size:
        raise ValueError("image file is truncated")
    stored = np.frombuffer(data, dtype=">u2").reshape(image.height, image.width, 3)
    return (stored * np.float32(65535 / most)).clip(0, 65535).round()


def _tag(image: ImageFile.ImageFile, tag: int, default: int) -> int:
    """A tag of a TIFF, the first of several values."""
    value = getattr(image, "tag_v2", {}).get(tag, default)
    return int(value[0] if isinstance(value, tuple) else value)


def _nodata(image: ImageFile.ImageFile) -> float | None:
    """The value that GDAL writes where nothing was measured."""
    text = getattr(image, "tag_v2", {}).get(NODATA)
    try:
        number = float(str(text).strip(" \0"))
    except ValueError:
        return None
    return number if np.isfinite(number) else None
