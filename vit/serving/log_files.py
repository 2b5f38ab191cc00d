"""The files of the prediction log: Parquet, one row per image of a request, and the images where they are kept.

`FOLDER/*.parquet`, each written under a temporary name and renamed; `FOLDER/images/SHA256.ENDING`. Several processes
may write to a folder: the names of their files differ.
"""

import contextlib
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vit.data.formats import format_of
from vit.files import replacing
from vit.inference.image_statistics import brightness, sharpness

if TYPE_CHECKING:
    import pyarrow as pa

    from vit.serving.uploads import Upload
    from vit.serving.version import Answered

IMAGES = "images"
DROPPED = b"vit.dropped"  # of a file's metadata: predictions that were not logged, as told by this file


@dataclass(frozen=True)
class Entry:
    """A request that was answered; `at` in microseconds since 1970, `labels` are the likeliest classes."""

    at: int
    request_id: str
    version: str
    labels: list[str]
    latency_ms: float
    answer: "Answered"

    @cached_property
    def bytes(self) -> int:
        """What it holds in memory."""
        files = sum(upload.file.getbuffer().nbytes for upload in self.answer.uploads)
        return files + self.answer.images.nbytes + self.answer.features.nbytes


def schema() -> "pa.Schema":
    """The columns of the log: `row` is the image's number in its request, `latency_ms` the whole request's, `width` and
    `height` the file's; brightness and sharpness are of what the model saw, the embedding is what its head read."""
    import pyarrow as pa  # late: only servers that log need it

    return pa.schema(
        {
            "at": pa.timestamp("us", "UTC"),
            "request_id": pa.string(),
            "row": pa.int32(),
            "sha256": pa.string(),
            "label": pa.string(),
            "confidence": pa.float32(),
            "version": pa.string(),
            "latency_ms": pa.float32(),
            "width": pa.int32(),
            "height": pa.int32(),
            "brightness": pa.float32(),
            "sharpness": pa.float32(),
            "embedding": pa.list_(pa.float32()),
        }
    )


def table_of(entries: Sequence[Entry], digests: Sequence[str]) -> "pa.Table":
    """The rows of at least one request; `digests` are the SHA-256 of all their files."""
    import pyarrow as pa

    answers = [entry.answer for entry in entries]
    counts = [len(entry.labels) for entry in entries]
    uploads = [upload for answer in answers for upload in answer.uploads]
    widths = np.repeat([answer.features.shape[1] for answer in answers], counts)
    features = np.concatenate([answer.features.ravel() for answer in answers], dtype=np.float32)

    def each(values: Sequence) -> np.ndarray:
        return np.repeat(np.array(values), counts)

    columns = {
        "at": each([entry.at for entry in entries]).astype("datetime64[us]"),
        "request_id": each([entry.request_id for entry in entries]),
        "row": np.concatenate([np.arange(count) for count in counts]),
        "sha256": digests,
        "label": [label for entry in entries for label in entry.labels],
        "confidence": np.concatenate([answer.probabilities.max(axis=1) for answer in answers]),
        "version": each([entry.version for entry in entries]),
        "latency_ms": each([entry.latency_ms for entry in entries]),
        "width": [upload.width for upload in uploads],
        "height": [upload.height for upload in uploads],
        "brightness": np.concatenate([brightness(answer.images) for answer in answers]),
        "sharpness": np.concatenate([sharpness(answer.images) for answer in answers]),
        "embedding": pa.ListArray.from_arrays(np.append(0, np.cumsum(widths)).astype(np.int32), features),
    }
    return pa.table(columns, schema=schema())


def write_file(path: Path, table: "pa.Table", dropped: int) -> None:
    """Raises OSError if the disk is full or `path` cannot be written; an earlier file then stays."""
    import pyarrow.parquet as pq

    table = table.replace_schema_metadata({DROPPED: str(dropped)})
    with replacing(path) as temporary:
        # A dictionary of values that are all different takes four times as long, and more room.
        pq.write_table(table, temporary, compression="zstd", use_dictionary=["label", "version"])


def keep_image(folder: Path, digest: str, upload: "Upload") -> None:
    """Write the file to `folder`/images, or note that one that is there came again. Raises OSError."""
    path = folder / IMAGES / f"{digest}.{(format_of(upload.file) or 'image').lower()}"
    if path.is_file():
        os.utime(path)
        return
    with replacing(path) as temporary:
        temporary.write_bytes(upload.file.getbuffer())


def delete_old(folder: Path, days: float, image_days: float) -> None:
    """Delete log files and images that were last written so many days ago, and temporary files that a killed server
    left. Raises nothing."""
    _delete(folder.glob("*.parquet"), days)
    _delete((folder / IMAGES).glob("[!.]*"), image_days)
    for left in (folder, folder / IMAGES):
        _delete(left.glob(".*.tmp"), 1)


def _delete(files: Iterable[Path], days: float) -> None:
    with contextlib.suppress(OSError):  # another worker may have been faster; the rest is deleted the next time
        for file in files:
            if file.stat().st_mtime < time.time() - 86400 * days:
                file.unlink()
