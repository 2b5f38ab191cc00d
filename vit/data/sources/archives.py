"""Archives of images, unpacked only if every member stays inside the target and the disk has room."""

import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from lzma import LZMAError
from pathlib import Path

from vit.errors import UserError

ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz")


def is_archive(path: Path) -> bool:
    """By its name."""
    return path.name.lower().endswith(ENDINGS)


def name_without_ending(path: Path) -> str:
    """The name of a folder, or of the folder that an archive usually unpacks to."""
    ending = next((ending for ending in reversed(ENDINGS) if path.name.lower().endswith(ending)), "")
    return path.name[: len(path.name) - len(ending)]


def unpack(archive: Path, target: Path) -> None:
    """Unpack a zip or tar archive into the folder `target`.

    Raises UserError, naming the member, for names that lead out of the archive, links and devices; for an archive
    that is broken, encrypted, or larger than the free disk space when unpacked.
    """
    try:
        if archive.name.lower().endswith(".zip"):
            _unpack_zip(archive, target)
        else:
            _unpack_tar(archive, target)
    except (zipfile.BadZipFile, zlib.error, LZMAError, EOFError, OSError, tarfile.TarError) as error:
        raise UserError(f"{archive}: broken archive ({error}); get it again") from error
    except (RuntimeError, NotImplementedError) as error:  # a password, or a compression that Python lacks
        raise UserError(f"{archive}: cannot be unpacked ({error}); unpack it yourself and name the folder") from error


def require_space(called: Path, size: int, folder: Path) -> None:
    """Raise UserError if `size` bytes do not fit on the disk of `folder`."""
    free = shutil.disk_usage(folder).free
    if size > free:
        raise UserError(
            f"{called}: needs {size / 1e9:,.1f} GB, {free / 1e9:,.1f} GB are free at {folder.resolve()}; refused, "
            "free some space or use fewer images"
        )


def _unpack_zip(archive: Path, target: Path) -> None:
    with zipfile.ZipFile(archive) as opened:
        members = opened.infolist()
        for member in members:
            _refuse_hostile(archive, member.filename)
            if stat.S_ISLNK(member.external_attr >> 16):
                raise UserError(f"{archive}: member '{member.filename}' is a link; refused, archive the file itself")
        require_space(archive, sum(member.file_size for member in members), target)
        opened.extractall(target)


def _unpack_tar(archive: Path, target: Path) -> None:
    """Member by member: a tar has no table of contents, and a compressed one is slow to read twice."""
    with tarfile.open(archive) as opened:
        for member in opened:
            _refuse_hostile(archive, member.name)
            if not (member.isfile() or member.isdir()):
                raise UserError(
                    f"{archive}: member '{member.name}' is a link or device; refused, archive the file itself"
                )
            require_space(archive, member.size, target)
            packed = opened.extractfile(member)
            if packed is not None:  # no folder
                path = target / member.name
                path.parent.mkdir(parents=True, exist_ok=True)
                with packed, path.open("wb") as unpacked:
                    shutil.copyfileobj(packed, unpacked)


def _refuse_hostile(archive: Path, name: str) -> None:
    """A backslash or a drive letter is harmless here, and leads out of the folder on Windows."""
    if name.startswith("/") or "\\" in name or re.match(r"[A-Za-z]:", name) or ".." in name.split("/"):
        raise UserError(f"{archive}: member '{name}' points out of the archive; refused")
