"""Which files are images, judged by their first bytes, and how to open them."""

import re
from pathlib import Path
from typing import IO

from PIL import Image, ImageFile, UnidentifiedImageError

from vit.errors import UserError

# Not EPS, which Pillow hands to Ghostscript, and none of the thirty formats that nobody photographs in.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")
NAMES = "JPEG, PNG, WebP, GIF, BMP, TIFF, PPM, AVIF and HEIC"
# Endings that promise an image: a file that breaks the promise is reported as unreadable, not ignored.
SUFFIXES = {
    ".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".avif",
    ".heic", ".heif",
}  # fmt: skip

HEIC, TIFF = "HEIC", "TIFF"
# The first match names the format. Those below HEIC are images too, so their files are not ignored but reported.
SIGNATURES = {
    "JPEG": rb"\xff\xd8\xff",
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "WEBP": rb"RIFF.{4}WEBP",
    "GIF": rb"GIF8[79]a",
    "BMP": rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0",
    TIFF: rb"II[*+]\0|MM\0[*+]",
    "PPM": rb"P[1-6f]\s(?:\s|\#[^\n]*\n)*\d+\s+\d+\s",
    "AVIF": rb".{4}ftyp(?:avi[fs]|mi[fs]1.{4}(?:.{4}){0,20}avif)",
    HEIC: rb".{4}ftyp(?:hei[cmsx]|hev[cmsx]|mif1|msf1)",
    "JPEG 2000": rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51",
    "JPEG XL": rb"\0\0\0\x0cJXL ",
    "Photoshop": rb"8BPS\0[\1\2]",
    "DICOM": rb".{128}DICM",
    "OpenEXR": rb"v/1\x01",
    "FITS": rb"SIMPLE  =",
    "SVG": rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>\s*|<!--.{0,400}?-->\s*|<!DOCTYPE svg[^>]*>\s*)*<svg[\s>]",
}
PATTERNS = {name: re.compile(pattern, re.DOTALL) for name, pattern in SIGNATURES.items()}
HEAD = 1024  # bytes
REDUCED = 254  # the tag of TIFF that says so of an image


def is_image(path: Path) -> bool:
    """Whether a file is to be treated as an image: by its content, or by an ending that promises one."""
    if path.suffix.lower() in SUFFIXES:
        return True
    try:
        return format_of(path) is not None
    except OSError:
        return False  # an unreadable file without an image's ending counts as no image


def format_of(source: Path | IO[bytes]) -> str | None:
    """The image format that the first bytes belong to, supported or not; None if they belong to none."""
    if isinstance(source, Path):
        with source.open("rb") as file:
            head = file.read(HEAD)
    else:
        source.seek(0)
        head = source.read(HEAD)
        source.seek(0)
    return next((name for name, pattern in PATTERNS.items() if pattern.match(head)), None)


def open_image(source: Path | IO[bytes]) -> ImageFile.ImageFile:
    """`Image.open` for the supported formats; HEIC needs the package pillow-heif.

    Raises what Pillow raises, and UserError for an image of a known but unsupported kind.
    """
    try:
        image = Image.open(source, formats=FORMATS)
    except UnidentifiedImageError:
        name = format_of(source)
        if name == HEIC:
            _register_heic(source)
            return Image.open(source, formats=("HEIF",))
        if name is not None and name not in FORMATS:
            raise UserError(f"{called(source)}: {name} files are not supported; convert it to PNG or TIFF") from None
        if name == TIFF:
            raise UserError(
                f"{called(source)}: a broken image, or a TIFF with unsupported pixels; supported are 1 or 3 bands of 8 "
                "or 16 bits, or 1 band of 32 bits"
            ) from None
        raise
    if image.format == TIFF and getattr(image, "tag_v2", {}).get(REDUCED, 0) & 1:
        image.close()
        raise UserError(f"{called(source)}: a raw photo, and only its preview could be read; convert it to PNG")
    return image


def called(source: Path | IO[bytes]) -> str:
    """What errors call a source."""
    return str(source) if isinstance(source, Path) else "image"


def _register_heic(source: Path | IO[bytes]) -> None:
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        raise UserError(
            f"{called(source)}: a HEIC image, which needs the package pillow-heif; run "
            "`pip install --requirement requirements-heic.txt`, or convert it to JPEG"
        ) from None
    register_heif_opener()
