"""Digests as publishers of weights write them."""

import hashlib
from pathlib import Path


def sha256_hex(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def git_blob_hex(path: Path) -> str:
    """The SHA-1 that git gives to a file, which the Hugging Face hub shows for small ones."""
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
