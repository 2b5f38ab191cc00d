"""Writing corrections: decisions about images of the data, and images that a model got wrong."""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

from filelock import FileLock

from vit.config.files import AUDIT, AUDITED_IMAGES, CORRECTED_IMAGES, CORRECTIONS, FEEDBACK
from vit.data.corrections import Correction, read_corrections, write_corrections
from vit.data.formats import SUFFIXES, format_of
from vit.errors import UserError
from vit.files import project_root, read_table, replacing


def decided(root: Path | None = None) -> dict[str, Correction]:
    """The corrections in feedback/labels.csv by digest; none without a table. Raises UserError if it is broken."""
    table = (root or project_root()) / CORRECTIONS
    return {one.sha256: one for one in read_corrections(table)} if table.is_file() else {}


def decide(new: Iterable[Correction], root: Path | None = None) -> None:
    """Write corrections to feedback/labels.csv; each replaces an earlier one about the same image."""
    root = root or project_root()
    with _locked(root):
        rows = decided(root) | {one.sha256: one for one in new}
        write_corrections(root / CORRECTIONS, rows.values())


def withdraw(digests: Iterable[str], root: Path | None = None) -> None:
    """Delete the corrections about these images, and their files in feedback/images."""
    root = root or project_root()
    gone = set(digests)
    with _locked(root):
        rows = decided(root)
        write_corrections(root / CORRECTIONS, [one for one in rows.values() if one.sha256 not in gone])
        for path in (root / CORRECTED_IMAGES).glob("*"):
            if path.stem in gone:
                path.unlink()


def images_of_the_data(root: Path | None = None) -> dict[str, dict[str, str]]:
    """The rows of data/audit/images.csv (path, part, label) by the digest of the file; none before the first split."""
    table = (root or project_root()) / AUDIT / AUDITED_IMAGES
    return {row["file_sha256"]: row for row in read_table(table)} if table.is_file() else {}


def keep_image(content: bytes, name: str, label: str, by: str, root: Path | None = None) -> str:
    """Correct the image file with these bytes to `label`, for training; returns where it lies.

    An image of the data is relabelled there, in whatever split it is, or kept if that is its label. Any other is kept
    in feedback/images, to be added to train; of its `name` only the ending is used. Raises UserError if it is not an
    image file.
    """
    root = root or project_root()
    digest = hashlib.sha256(content).hexdigest()
    if known := images_of_the_data(root).get(digest):
        path = known["path"]
    else:
        file = root / CORRECTED_IMAGES / f"{digest}{_ending(content, name)}"
        with replacing(file) as temporary:
            temporary.write_bytes(content)
        path = file.relative_to(root).as_posix()
    action = "keep" if known and known["label"] == label else "relabel"
    decide([Correction(digest, path, label, action, by, now())], root)
    return path


def _ending(content: bytes, name: str) -> str:
    ending, kind = Path(name).suffix.lower(), format_of(BytesIO(content))
    if kind is None and ending not in SUFFIXES:
        raise UserError(f"{name}: not an image file; only images can be corrected")
    return ending if ending in SUFFIXES else f".{(kind or '').lower()}"


def now() -> str:
    """The time of a decision, in UTC to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    """Two people may decide at the same time."""
    lock = root / ".vit" / "feedback.lock"
    lock.parent.mkdir(exist_ok=True)
    (root / FEEDBACK).mkdir(exist_ok=True)
    with FileLock(lock):
        yield
