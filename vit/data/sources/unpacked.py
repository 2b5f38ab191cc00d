"""An archive that a person uploaded, unpacked beside the other images of the project."""

import re
from pathlib import Path
from typing import IO

from vit.data.sources.archives import name_without_ending, unpack
from vit.errors import UserError
from vit.files import temporary_folder

NAME = re.compile(r"\w[\w.-]{0,63}")
BLOCK = 2**20  # bytes


def unpack_upload(content: IO[bytes], called: str, name: str, images: Path) -> Path:
    """Unpack an archive, which errors call `called`, to the new folder `images`/`name`; returns that folder.

    Raises UserError for a name that is taken or no plain name, and as `unpack` for a broken or hostile archive; then
    nothing is left behind.
    """
    if not NAME.fullmatch(name):
        raise UserError(f"'{name}' is not a name for a folder; use up to 64 letters, digits, '_', '-' and '.'")
    target = images / name
    if target.exists():
        raise UserError(f"{images.name}/{name} exists already; choose another name, or delete that folder first")
    with temporary_folder(images / f".{name}") as temporary:
        archive, unpacked = temporary / "upload.zip", temporary / "unpacked"
        with archive.open("wb") as file:
            while block := content.read(BLOCK):
                file.write(block)
        unpacked.mkdir()
        try:
            unpack(archive, unpacked)
        except UserError as error:
            raise UserError(str(error).replace(str(archive), called)) from error
        unpacked.rename(target)
    return target


def suggested_name(called: str) -> str:
    """A name for the folder of an archive that is called so."""
    return re.sub(r"[^\w.-]", "_", name_without_ending(Path(called))).strip("._-")[:64] or "images"
