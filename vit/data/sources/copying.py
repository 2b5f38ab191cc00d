"""Copies of many files: as clones that share their blocks until one is changed, where the file system has them."""

import shutil
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

FICLONE = 0x40049409  # ioctl of Linux: Btrfs, XFS, NFS 4.2


class Copier:
    """Copies files one by one; that the file system cannot clone is found out once. No copy is a link to its source."""

    def __init__(self) -> None:
        self.can_clone = fcntl is not None

    def copy(self, source: Path, destination: Path) -> None:
        """Write `destination` with the bytes of `source`; raises OSError."""
        self.can_clone = self.can_clone and _cloned(source, destination)
        if not self.can_clone:
            shutil.copyfile(source, destination)  # inside the kernel, by sendfile


def _cloned(source: Path, destination: Path) -> bool:
    """Clone a file; False if that is impossible, as on ext4, or between two file systems."""
    assert fcntl is not None  # asked only where it exists
    with source.open("rb") as original, destination.open("wb") as copy:
        try:
            fcntl.ioctl(copy.fileno(), FICLONE, original.fileno())
        except OSError:  # a full disk is told by the copy that follows
            return False
    return True
