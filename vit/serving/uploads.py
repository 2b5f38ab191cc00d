"""Decoding base64 text to the model's input pixels; nothing here opens a path or a URL."""

import base64
import binascii
import logging
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import NamedTuple

import numpy as np

from vit.data.formats import NAMES
from vit.data.images import load_image, opened, settings_of
from vit.data.remarks import Remarks
from vit.errors import UserError
from vit.serving.refusal import Refusal
from vit.serving.settings import Limits

log = logging.getLogger("vit.serving")

WAY_OUT = f"send the bytes of an image file ({NAMES})"


class Upload(NamedTuple):
    """An image file that a request brought, and its width and height in pixels."""

    file: BytesIO
    width: int
    height: int


def read_uploads(texts: Sequence[str], limits: Limits) -> list[Upload]:
    """Image files in base64, plain or as data URLs, not decoded yet.

    Raises Refusal naming the first bad row, or the limit that they exceed together.
    """
    if len(texts) == 0:
        raise Refusal("no images were sent: the column 'image' has no rows; send at least one")
    if len(texts) > limits.max_rows:
        raise Refusal(f"more than {limits.max_rows} rows; send them in several requests", status=413)
    files = [decode_base64(row, text) for row, text in enumerate(texts)]
    uploads, pixels = [], 0
    for row, file in enumerate(files):
        upload = Upload(file, *_readable(row, _size, file))
        uploads.append(upload)
        pixels += upload.width * upload.height
        if pixels > limits.max_pixels:
            sentence = f"row {row}: more than {limits.max_pixels} pixels in total; scale the images down or send fewer"
            raise Refusal(sentence, status=413)
    return uploads


def decode_uploads(uploads: Sequence[Upload], config: dict, over: Callable = map) -> np.ndarray:
    """uint8 (N, H, W, C) of the model's size, decoded by `over`, which is `map` or a parallel one.

    Raises Refusal naming the first bad row.
    """
    settings = settings_of(config)
    remarks = Remarks()

    def load(row: int) -> tuple[np.ndarray, list[str]]:
        noticed: list[str] = []
        return _readable(row, load_image, uploads[row].file, **settings, notice=noticed.append), noticed

    images = []
    for row, (image, noticed) in enumerate(over(load, range(len(uploads)))):
        images.append(image)
        for remark in noticed:
            remarks.of(f"row {row}")(remark)
    remarks.tell(log)
    return np.stack(images)


def _size(file: BytesIO) -> tuple[int, int]:
    with opened(file) as image:
        return image.size


def decode_base64(row: int, text: str) -> BytesIO:
    """The bytes behind base64 text or a data URL. Raises Refusal naming the `row`."""
    try:
        if text[:5].lower() == "data:":
            header, _, text = text.partition(",")
            if not header.lower().endswith(";base64"):
                raise Refusal(f"row {row}: a data URL without base64; send data:image/png;base64,<base64>")
        return BytesIO(base64.b64decode("".join(text.split()), validate=True))
    except (binascii.Error, ValueError, TypeError, AttributeError):
        raise Refusal(f"row {row}: not base64; send the bytes of an image file, encoded in base64") from None


def _readable(row: int, read, file: BytesIO, **settings):
    try:
        file.seek(0)
        return read(file, **settings)
    except UserError as error:
        raise Refusal(f"row {row}: {str(error).removeprefix('image: ')}; {WAY_OUT}") from None
