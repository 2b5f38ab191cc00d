"""Image files for hostile requests, drawn or put together byte by byte; none comes from elsewhere."""

import io
import random
import struct
import zipfile
import zlib

import numpy as np
from PIL import Image, ImageSequence, PngImagePlugin

from tests.drawn import noise

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP")
WORD = b"zebrafinch"  # stands in what is sent and must never come back


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def picture(seed: int = 0, height: int = 24, width: int = 36) -> Image.Image:
    return Image.fromarray(noise(height, width, 3, seed))


def good(seed: int = 0, kind: str = "PNG") -> bytes:
    return encoded(picture(seed), kind)


def no_images() -> dict[str, bytes]:
    """Files that are no images, by what they are."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a.png", good())
    svg = b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>'
    return {
        "nothing": b"",
        "text": WORD,
        "svg": svg,
        "svg with a declaration": b'<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
        + svg,
        "html": b"<!doctype html><script>alert('" + WORD + b"')</script>",
        "zip": archive.getvalue(),
        "gzip": zlib.compress(good(), wbits=31),
        "pdf": b"%PDF-1.7\n1 0 obj <</Type /Catalog>> endobj\n%%EOF",
        "pdf before jpeg": b"%PDF-1.7\n" + good(kind="JPEG"),
        "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(/etc/passwd) run\nshowpage\n",
        "program": b"\x7fELF\x02\x01\x01" + bytes(57),
        "pickle": b"\x80\x04\x8c\x05posix\x94\x8c\x06system\x94\x93\x94\x8c\x02id\x94\x85\x94R\x94.",
        "psd": b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 9, 9, 8, 3) + bytes(20),
        "numbers": bytes(range(256)),
    }


def truncated() -> list[bytes]:
    """Each format cut off after its first bytes, in its head, in its middle and just before the end."""
    cut = []
    for kind in FORMATS:
        whole = good(kind=kind)
        cut += [whole[:4], whole[:20], whole[: len(whole) // 2], whole[: -len(whole) // 10]]
    return cut


def damaged(count: int) -> list[bytes]:
    """Images of every format with some bytes changed, added or removed, the same at every run."""
    draw = random.Random(0)
    files = []
    for number in range(count):
        data = bytearray(good(number, FORMATS[number % len(FORMATS)]))
        for _ in range(draw.choice((1, 3, 10))):
            at = draw.randrange(min(len(data), draw.choice((40, 400, 4000))))
            data[at : at + draw.randrange(3)] = draw.randbytes(draw.randrange(3))
        files.append(bytes(data))
    return files


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, *chunks: bytes, data: bytes = b"") -> bytes:
    """A PNG of grey pixels, one byte each, of which the head says what it likes."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(data, 9))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + pixels + chunk(b"IEND", b"")


def bombs_by_pixels() -> dict[str, bytes]:
    """Small files that claim, or really hold, more pixels than the tests' server allows (4 million)."""
    jpeg = bytearray(good(kind="JPEG"))
    frame = jpeg.index(b"\xff\xc0") + 5
    jpeg[frame : frame + 4] = struct.pack(">HH", 65500, 65500)
    gif = bytearray(good(kind="GIF"))
    gif[6:10] = struct.pack("<HH", 65535, 65535)
    bitmap = bytearray(good(kind="BMP"))
    bitmap[18:26] = struct.pack("<ii", 30000, 30000)
    return {
        "png claiming 10^10": png(100_000, 100_000),
        "png claiming 2^62": png(2**31 - 1, 2**31 - 1),
        "png of zeros": png(6000, 6000, data=bytes(6001 * 6000)),
        "1 bit": encoded(Image.new("1", (8000, 8000))),
        "jpeg": bytes(jpeg),
        "gif": bytes(gif),
        "bmp": bytes(bitmap),
        "webp": encoded(Image.new("RGB", (3000, 3000)), "WEBP", quality=1),
        "tiff": encoded(Image.new("1", (9000, 9000)), "TIFF", compression="group4"),
    }


def bombs_by_compression() -> dict[str, bytes]:
    """PNGs of few pixels whose chunks unfold to 100 MB."""
    zeros = zlib.compress(bytes(10**8), 9)
    rows = bytes(37 * 24)
    return {
        "zTXt": png(36, 24, chunk(b"zTXt", b"a\0\0" + zeros), data=rows),
        "iTXt": png(36, 24, chunk(b"iTXt", b"a\0\1\0\0\0" + zeros), data=rows),
        "iCCP": png(36, 24, chunk(b"iCCP", b"a\0\0" + zeros), data=rows),
        "IDAT": png(36, 24, data=bytes(10**8)),
    }


def unusual() -> dict[str, bytes]:
    """Whole images of kinds that are seldom seen; each has a right answer."""
    base, grey = picture(), Image.fromarray(noise(24, 36, 1))
    frames = [picture(seed) for seed in range(3)]
    several = {"save_all": True, "append_images": frames[1:]}
    alpha = Image.fromarray(noise(24, 36, 4))
    comment = PngImagePlugin.PngInfo()
    comment.add_text("Comment", "<?php system('id'); ?>")
    return {
        "animated gif": encoded(frames[0], "GIF", **several),
        "animated png": encoded(frames[0], "PNG", **several),
        "animated webp": encoded(frames[0], "WEBP", lossless=True, **several),
        "tiff of pages": encoded(frames[0], "TIFF", **several),
        "jpeg of two pictures": encoded(frames[0], "MPO", **several),
        "cmyk": encoded(base.convert("CMYK"), "JPEG"),
        "cmyk tiff": encoded(base.convert("CMYK"), "TIFF"),
        "16 bits": encoded(Image.fromarray(noise(24, 36, 1).astype(np.uint16) * 257)),
        "1 bit": encoded(base.convert("1")),
        "grey": encoded(grey),
        "grey and alpha": encoded(alpha.convert("LA")),
        "alpha": encoded(alpha),
        "palette": encoded(base.convert("P")),
        "transparent palette": encoded(base.convert("P"), transparency=3),
        "progressive": encoded(base, "JPEG", progressive=True),
        "interlaced gif": encoded(base, "GIF", interlace=1),
        "portable pixmap": encoded(base, "PPM"),
        "1x1": encoded(picture(0, 1, 1)),
        "1x20000": encoded(picture(0, 1, 20000)),
        "20000x1": encoded(picture(0, 20000, 1)),
        "2x2": encoded(picture(0, 2, 2), "BMP"),
        "gif and script": good(kind="GIF") + b"/*<script>alert(1)</script>*/",
        "jpeg and zip": good(kind="JPEG") + no_images()["zip"],
        "png and html": good() + b"<html><script>alert(1)</script></html>",
        "png with php": encoded(base, pnginfo=comment),
        "jpeg with a comment": encoded(base, "JPEG", comment=b"' OR 1=1; --"),
    }


def rotated(orientation: int) -> tuple[bytes, bytes]:
    """A JPEG that says how to turn it, and a PNG of the same pixels that is turned."""
    turn = Image.Exif()
    turn[0x0112] = orientation
    stored = encoded(picture(), "JPEG", exif=turn)
    turns = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}  # EXIF's numbers to Pillow's
    with Image.open(io.BytesIO(stored)) as image:
        pixels = next(ImageSequence.Iterator(image)).convert("RGB")
        return stored, encoded(pixels.transpose(turns[orientation]) if orientation in turns else pixels)
