"""The only path from an image file to a uint8 array: pack, evaluate, serving and predict all use it."""

import struct
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple, TypeGuard

import numpy as np
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from vit.data.formats import called, open_image
from vit.data.resizing import pixels_needed, resized
from vit.data.values import EIGHT_BITS, clipped_share, kind_of, read_values, to_levels
from vit.errors import UserError

# What Pillow raises for damaged files; struct.error comes from EXIF.
BROKEN = (OSError, SyntaxError, ValueError, TypeError, EOFError, MemoryError, struct.error)
MODES = {1: "L", 3: "RGB"}
# The arguments of load_image that reproduce its result.
SETTINGS = (
    "image_size",
    "channels",
    "fit",
    "margin",
    "trim_bars",
    "value_range",
    "background",
    "interpolation",
    "crop_pct",
)
MAX_PIXELS = 89_478_485  # Pillow warns above it: 256 MB of RGB
NEAR_BLACK = 24  # of 255; JPEG noise in the black bars of video frames stays below
BACKGROUNDS = {"white": 255, "black": 0, "gray": 128}
CLIPPED_ANYWAY = 0.01  # share of an image's values: so many outside the range are expected

warnings.filterwarnings(
    "ignore", category=Image.DecompressionBombWarning
)  # refused below with an error, so the warning is redundant


ValueRange = Sequence[float] | str | None
Notice = Callable[[str], None]


class Picture(NamedTuple):
    """A decoded image, upright, in mode "L" or "RGB"; its file's format, the `kind` of its stored values, and the
    share of values outside the range, which are clipped."""

    image: Image.Image
    format: str
    kind: str
    clipped: float


def load_image(
    source: Path | IO[bytes],
    image_size: tuple[int, int] | list[int],
    channels: int,
    fit: str,
    margin: float = 0.0,
    trim_bars: bool = False,
    value_range: ValueRange = None,
    background: str = "white",
    interpolation: str = "bicubic",
    crop_pct: float = 1.0,
    keep_margin: bool = False,
    notice: Notice | None = None,
) -> np.ndarray:
    """Decode the first frame of an image file to uint8 (H, W, C), in this order:

    1. Upright after its EXIF orientation.
    2. Values of more than 8 bits become 0 to 255 by `value_range`, as `to_levels` does. Without one ("auto", or None)
       16 bits are divided by 257; 8 bits never change.
    3. To `channels` 1 (ITU-R 601 luma) or 3 (RGB): palettes and CMYK become their colours, transparency (RGBA, LA,
       or a palette's transparent entry) lies on `background`, 1 bit becomes 0 and 255.
    4. `trim_bars` cuts to `content_box`.
    5. `resized` by `fit`, `interpolation` and `crop_pct` to `packed_size`, which is `image_size` (height, width) in
       pixels, larger by the share `margin` of each side.
    6. The middle of `image_size`, unless `keep_margin` leaves the border for random crops of train images.

    JPEGs are decoded at a fraction of their size as long as what is left is twice the size to resize to. `notice` is
    called with a remark if the range does not suit the image's values.
    Raises UserError naming the file if it is not a readable image, has more than MAX_PIXELS pixels (before decoding any
    of them), or floating-point pixels without a `value_range`.
    """
    height, width = packed_size(image_size, margin)
    # Bars are found only after decoding; content_box keeps at least half of each side.
    enough = (4 if trim_bars else 2) * pixels_needed((height, width), crop_pct)
    picture = decode(source, MODES[channels], enough, value_range, background)
    image = picture.image
    if notice and (remark := _remark(picture, value_range)):
        notice(remark)
    try:
        if trim_bars:
            image = image.crop(content_box(image))
        image = resized(image, (height, width), fit, interpolation, crop_pct)
    except (ValueError, MemoryError) as error:
        raise UserError(f"{called(source)}: cannot be resized to {height}x{width} ({error})") from error
    pixels = np.asarray(image).reshape(height, width, channels)
    return pixels if keep_margin else np.ascontiguousarray(centre_crop(pixels, image_size))


def settings_of(config: dict) -> dict:
    """The SETTINGS in a model's config.json; those that an earlier release lacks get load_image's default."""
    return {name: config[name] for name in SETTINGS if name in config}


def decode(
    source: Path | IO[bytes],
    mode: str,
    enough: int | None = None,
    value_range: ValueRange = None,
    background: str = "white",
) -> Picture:
    """The first frame of an image file, upright, in mode "L" or "RGB"; range and background as in `load_image`.

    A JPEG may come smaller by a power of two, as long as both sides keep `enough` pixels. Raises UserError as
    `load_image` does.
    """
    with opened(source) as image:
        if enough is not None:
            image.draft(mode, (enough, enough))
        return picture_of(image, source, mode, value_range, background)


def picture_of(
    image: ImageFile.ImageFile, source: Path | IO[bytes], mode: str, value_range: ValueRange, background: str
) -> Picture:
    """Like `decode`, for an image that is `opened` but not decoded yet; raises what Pillow raises."""
    kind, name = kind_of(image), image.format or ""  # always set for a file that was opened
    if kind == EIGHT_BITS or not is_range(value_range):
        image.load()
        ImageOps.exif_transpose(image, in_place=True)  # a copy would cost a tenth of the time
        return Picture(_to_mode(image, mode, background), name, kind, 0.0)
    pixels, alpha = read_values(image, lambda: open_image(source))
    scaled = Image.fromarray(to_levels(pixels, value_range))
    if alpha is not None:
        scaled.putalpha(Image.fromarray(alpha))
    return Picture(_to_mode(scaled, mode, background), name, kind, clipped_share(pixels, value_range))


def is_range(value_range: ValueRange) -> TypeGuard[Sequence[float]]:
    """Whether this is a range: models of 8-bit images, and of earlier releases, have none."""
    return value_range is not None and not isinstance(value_range, str)


def _remark(picture: Picture, value_range: ValueRange) -> str | None:
    if not is_range(value_range):
        return None
    low, high = value_range
    if picture.kind == EIGHT_BITS:
        return f"8 bits per channel, left unchanged; the range {low} to {high} applies to images of more bits"
    if picture.clipped > CLIPPED_ANYWAY:
        return f"values outside the range {low} to {high} are clipped"
    return None


def pixel_count(source: Path | IO[bytes]) -> int:
    """Width times height from an image file's header, without decoding. Raises UserError like `load_image`."""
    with opened(source) as image:
        return image.width * image.height


@contextmanager
def opened(source: Path | IO[bytes]) -> Iterator[ImageFile.ImageFile]:
    """Turn errors while the file is open, decoding included, into a UserError that names the file."""
    try:
        with open_image(source) as image:
            if image.width * image.height > MAX_PIXELS:
                raise UserError(_too_large(source, f"{image.width * image.height} pixels"))
            yield image
    except UnidentifiedImageError:
        raise UserError(f"{called(source)}: not an image in a supported format") from None
    except FileNotFoundError:
        raise UserError(f"{called(source)}: no such file") from None
    except Image.DecompressionBombError as error:
        size = str(error).partition("(")[2].partition(")")[0]  # "Image size (900000000 pixels) exceeds ..."
        raise UserError(_too_large(source, size)) from error
    except BROKEN as error:
        raise UserError(f"{called(source)}: broken image ({str(error) or type(error).__name__})") from error


def packed_size(image_size: tuple[int, int] | list[int], margin: float) -> tuple[int, int]:
    """Height and width in pixels that train images are packed in: `image_size`, each side larger by `margin`."""
    height, width = image_size
    return round(height * (1 + margin)), round(width * (1 + margin))


def centre_crop(images, image_size: tuple[int, int] | list[int]):
    """The middle `image_size` (height, width) of arrays or tensors (..., H, W, C), as a view."""
    height, width = image_size
    top, left = (images.shape[-3] - height) // 2, (images.shape[-2] - width) // 2
    return images[..., top : top + height, left : left + width, :]


def content_box(image: Image.Image) -> tuple[int, int, int, int]:
    """The area within black bars: left, top, right, bottom in pixels, as for `Image.crop`.

    A bar is made of the rows or columns at a border in which no pixel's luma is above NEAR_BLACK. Rows and columns are
    judged separately: if less than half of a side would be left, the scene is dark and that side is not cut. An image
    that is black all over is not cut either.
    """
    bright = image.convert("L").point([0] * (NEAR_BLACK + 1) + [255] * (255 - NEAR_BLACK))
    left, top, right, bottom = bright.getbbox() or (0, 0, *image.size)
    if 2 * (right - left) < image.width:
        left, right = 0, image.width
    if 2 * (bottom - top) < image.height:
        top, bottom = 0, image.height
    return left, top, right, bottom


def _to_mode(image: Image.Image, mode: str, background: str) -> Image.Image:
    if image.mode == "F":
        raise ValueError("pixels are floating-point numbers of unknown range")
    if image.mode.startswith("I"):  # 16 bits a pixel, whatever Pillow calls it
        return Image.fromarray((np.asarray(image, dtype=np.float32) / 257).clip(0, 255).astype(np.uint8)).convert(mode)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, (*[BACKGROUNDS[background]] * 3, 255))
        image = Image.alpha_composite(ground, image)
    return image if image.mode == mode else image.convert(mode)


def _too_large(source: Path | IO[bytes], size: str) -> str:
    return f"{called(source)}: {size}, more than the {MAX_PIXELS} allowed (a decompression bomb?); scale the image down"
