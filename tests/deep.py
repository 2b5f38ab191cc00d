"""Files of more than 8 bits, put together byte by byte, as Pillow writes few of their kinds."""

import struct
import zlib
from pathlib import Path

import numpy as np

from tests.serving.pictures import chunk

COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # of PNG, by bands
SAMPLE_FORMATS = {"u": 1, "i": 2, "f": 3}  # of TIFF


def png16(pixels: np.ndarray) -> bytes:
    """A PNG of uint16 (H, W) or (H, W, 1 to 4)."""
    height, width, bands = np.atleast_3d(pixels).shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    head = struct.pack(">IIBBBBB", width, height, 16, COLOUR_TYPES[bands], 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def tiff(
    pixels: np.ndarray,
    order: str = "<",
    compressed: bool = False,
    alpha: int | None = None,
    nodata: str | None = None,
    orientation: int = 1,
    preview: bool = False,
) -> bytes:
    """A TIFF of (H, W) or (H, W, bands) in the byte order `<` or `>`, one strip, compressed by deflate.

    `alpha` is the value of ExtraSamples, `nodata` what GDAL writes where nothing was measured.
    """
    height, width, bands = np.atleast_3d(pixels).shape
    data = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    data = zlib.compress(data) if compressed else data
    short, long, text = 3, 4, 2
    tags: list[tuple[int, int, list[int] | bytes]] = [
        (254, long, [int(preview)]),
        (256, long, [width]),
        (257, long, [height]),
        (258, short, [8 * pixels.dtype.itemsize] * bands),
        (259, short, [8 if compressed else 1]),
        (262, short, [2 if bands > 2 else 1]),
        (273, long, [8]),
        (274, short, [orientation]),
        (277, short, [bands]),
        (278, long, [height]),
        (279, long, [len(data)]),
        *([] if alpha is None else [(338, short, [alpha])]),
        (339, short, [SAMPLE_FORMATS[pixels.dtype.kind]] * bands),
        *([] if nodata is None else [(42113, text, nodata.encode() + b"\0")]),
    ]
    body = data + b"\0" * (len(data) % 2)
    directory, later = struct.pack(f"{order}H", len(tags)), b""
    behind = 8 + len(body) + 2 + 12 * len(tags) + 4
    for tag, kind, values in tags:
        sizes = {short: "H", long: "I"}
        packed = values if isinstance(values, bytes) else struct.pack(f"{order}{len(values)}{sizes[kind]}", *values)
        field = packed.ljust(4, b"\0") if len(packed) <= 4 else struct.pack(f"{order}I", behind + len(later))
        later += packed if len(packed) > 4 else b""
        directory += struct.pack(f"{order}HHI", tag, kind, len(values)) + field
    magic = b"II*\0" if order == "<" else b"MM\0*"
    return magic + struct.pack(f"{order}I", 8 + len(body)) + body + directory + bytes(4) + later


def ppm16(pixels: np.ndarray, most: int = 65535) -> bytes:
    """A PGM or PPM of uint16 (H, W) or (H, W, 3), of which the head says that `most` is the largest value."""
    kind = 5 if pixels.ndim == 2 else 6
    return f"P{kind}\n{pixels.shape[1]} {pixels.shape[0]}\n{most}\n".encode() + pixels.astype(">u2").tobytes()


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def ramp(low: float, high: float, height: int = 16, width: int = 16) -> np.ndarray:
    """Values from low to high, evenly, along the rows; float64 (H, W)."""
    return np.linspace(low, high, height * width).reshape(height, width)
