"""Where shards lie: in a folder, or in a bucket of S3 or of a server that speaks its protocol."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vit.config.files import SHARDS
from vit.errors import UserError
from vit.files import project_root, replacing
from vit.redaction import redacted

REMOTE = "s3://"


class Folder:
    """A folder as the store; its files are read where they lie."""

    is_remote = False

    def __init__(self, folder: Path):
        self.folder = folder

    def __str__(self) -> str:
        return str(self.folder)

    def free(self) -> int:
        self.folder.mkdir(parents=True, exist_ok=True)
        return shutil.disk_usage(self.folder).free

    def sizes(self) -> dict[str, int]:
        """The size of every shard that is there, by name."""
        return {path.name: path.stat().st_size for path in self.folder.glob("*.tar")}

    def put(self, file: Path, name: str) -> None:
        """Move `file` into the store, unless it is on another disk: then copy it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with replacing(self.folder / name) as temporary:
            shutil.move(file, temporary)

    def read(self, name: str, ranges: list[tuple[int, int]]) -> list[bytes]:
        """The bytes of a shard from the first up to the second number of each range."""
        with (self.folder / name).open("rb") as file:
            return [os.pread(file.fileno(), end - start, start) for start, end in ranges]


class Bucket:
    """A prefix in a bucket; credentials, region and AWS_ENDPOINT_URL come from where the AWS tools take them."""

    is_remote = True

    def __init__(self, url: str):
        self.url = url.rstrip("/")

    def __str__(self) -> str:
        return self.url

    def _files(self) -> Any:
        try:
            import s3fs
        except ImportError as error:
            raise UserError(
                f"{self} needs s3fs; run `pip install -r requirements-remote.txt -c constraints.txt`"
            ) from error
        return s3fs.S3FileSystem(use_listings_cache=False)  # one per process, made anew after a fork

    def sizes(self) -> dict[str, int]:
        with self._asking("list the shards"):
            try:
                found = self._files().find(self.url, detail=True)
            except FileNotFoundError:
                return {}
        return {path.rsplit("/", 1)[1]: known["size"] for path, known in found.items() if path.endswith(".tar")}

    def put(self, file: Path, name: str) -> None:
        """Upload `file`."""
        with self._asking(f"write {name}"):
            self._files().put_file(str(file), f"{self.url}/{name}")

    def get(self, name: str, target: Path) -> None:
        """Download a shard."""
        with self._asking(f"read {name}"):
            self._files().get_file(f"{self.url}/{name}", str(target))

    def read(self, name: str, ranges: list[tuple[int, int]]) -> list[bytes]:
        starts, ends = zip(*ranges, strict=True)
        with self._asking(f"read {name}"):
            return self._files().cat_ranges([f"{self.url}/{name}"] * len(ranges), starts, ends, on_error="raise")

    @contextmanager
    def _asking(self, what: str) -> Iterator[None]:
        import botocore.exceptions

        try:
            yield
        except (OSError, botocore.exceptions.BotoCoreError) as error:
            reason = redacted(str(error) or type(error).__name__).splitlines()[0]
            raise UserError(
                f"{self}: cannot {what} ({reason}); check bucket, credentials and AWS_ENDPOINT_URL, then repeat"
            ) from error


Store = Folder | Bucket


def store_at(place: str | None, packed: Path) -> Store:
    """The store that `pack.store` names; null is the folder beside the other packed files.

    A relative folder lies in the user's repo, also in temporary copies of it.
    """
    if place is None:
        return Folder(packed / SHARDS)
    return Bucket(place) if place.startswith(REMOTE) else Folder(project_root() / place)
