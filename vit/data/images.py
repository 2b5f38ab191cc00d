"""The one way from an image file to a uint8 array: pack, evaluate, serving and predict all come through here."""

from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from vit.errors import UserError

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff"}
MODES = {1: "L", 3: "RGB"}


def load_image(
    source: Path | IO[bytes], image_size: tuple[int, int] | list[int], channels: int, fit: str
) -> np.ndarray:
    """Decode the first frame of an image file to uint8 (H, W, C).

    Upright after its EXIF orientation, transparency on white, 16-bit scaled to 8, then resized with
    antialiasing to `image_size` (height, width) in pixels: `crop` keeps the aspect ratio and cuts what
    overhangs in the middle, `stretch` does not. Raises UserError naming the file if it is no readable image.
    """
    size = (image_size[1], image_size[0])
    image, _ = decode(source, MODES[channels], draft=2 * max(size))
    if fit == "crop":
        image = ImageOps.fit(image, size, Image.Resampling.BICUBIC)
    else:
        image = image.resize(size, Image.Resampling.BICUBIC)
    return np.asarray(image).reshape(*image_size, channels)


def decode(source: Path | IO[bytes], mode: str, draft: int | None = None) -> tuple[Image.Image, str]:
    """The first frame of an image file, upright, in mode "L" or "RGB", and the name of the file's format.

    A JPEG may be decoded smaller, as long as its longer side keeps `draft` pixels. Raises UserError naming the file if
    it is no readable image.
    """
    try:
        with Image.open(source) as image:
            if draft is not None:
                image.draft(mode, (draft, draft))
            return _to_mode(ImageOps.exif_transpose(image), mode), image.format
    except UnidentifiedImageError:
        raise UserError(f"{_name(source)}: not an image in a format that Pillow reads") from None
    except FileNotFoundError:
        raise UserError(f"{_name(source)}: no such file") from None
    except (OSError, SyntaxError, ValueError, TypeError, EOFError, Image.DecompressionBombError) as error:
        raise UserError(f"{_name(source)}: broken image ({error})") from error


def content_box(image: Image.Image) -> tuple[int, int, int, int]:
    """Left, top, right, bottom without black bars."""
    bright = np.asarray(image.convert("L")) > 24
    rows, columns = np.flatnonzero(bright.mean(axis=1) > 0.02), np.flatnonzero(bright.mean(axis=0) > 0.02)
    if not len(rows) or not len(columns):
        return 0, 0, image.width, image.height
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _to_mode(image: Image.Image, mode: str) -> Image.Image:
    if image.mode == "F":
        raise ValueError("pixels are floating-point numbers of unknown range")
    if image.mode.startswith("I"):  # 16 bits a pixel, whatever Pillow calls it
        return Image.fromarray((np.asarray(image, dtype=np.float32) / 257).clip(0, 255).astype(np.uint8)).convert(mode)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert(mode)


def _name(source: Path | IO[bytes]) -> str:
    return str(source) if isinstance(source, Path) else "image"
