"""Images that a person brings, or that lie in the project: bounded, and read by the pipeline's own function only."""

import hashlib
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import streamlit as st
from PIL import Image

from vit.config.files import AUDIT, AUDITED_IMAGES
from vit.data.feedback import images_of_the_data
from vit.data.images import decode
from vit.errors import UserError
from vit.files import project_root

MOST = 256  # images at once
SIDE = 224  # pixels of the longer side of a picture on a page


class Upload(NamedTuple):
    """An image file by its name and bytes; `label` is the one that the data gives it, if it is from there."""

    name: str
    content: bytes
    label: str | None = None

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


def uploaded_images(label: str, key: str) -> list[Upload]:
    """The images that were dropped on a field, each content once; more than MOST are refused on the page."""
    files = st.file_uploader(label, accept_multiple_files=True, key=key, help=f"Up to {MOST} images at a time.")
    if len(files) > MOST:
        st.error(f"{len(files)} files are more than {MOST} at a time; drop fewer, or use `vit predict` for a folder.")
        return []
    return [Upload(file.name, file.getvalue()) for file in files]


def read_files(paths: list[Path], names: list[str], labels: list[str]) -> list[Upload]:
    """Images that lie in the project. Raises UserError if one is gone."""
    try:
        contents = [path.read_bytes() for path in paths]
    except OSError as error:
        raise UserError(f"{error.filename}: {error.strerror}; restore the images with `dvc repro pack`") from error
    return [Upload(*one) for one in zip(names, contents, labels, strict=True)]


def data_rows() -> dict[str, dict[str, str]]:
    """The images of the data (path, part, label) by the digest of their file, read again when they change."""
    path = project_root() / AUDIT / AUDITED_IMAGES
    return _data_rows(path, path.stat().st_mtime_ns) if path.is_file() else {}


@st.cache_data(max_entries=2, show_spinner=False)
def _data_rows(path: Path, changed: int) -> dict[str, dict[str, str]]:
    return images_of_the_data()


@st.cache_data(max_entries=500, ttl=600, show_spinner=False)
def preview(
    content: bytes, side: int = SIDE, value_range: list[float] | str | None = None, background: str = "white"
) -> bytes:
    """An image file as a small PNG: small images are enlarged so that their pixels show.

    Range and background as in `vit.data.images.load_image`, which also says which UserError is raised.
    """
    picture = decode(BytesIO(content), "RGB", side, value_range, background).image
    factor = side / max(picture.size)
    size = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
    buffer = BytesIO()
    picture.resize(size, Image.Resampling.NEAREST if factor > 1 else Image.Resampling.BOX).save(buffer, "png")
    return buffer.getvalue()
