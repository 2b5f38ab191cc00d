"""Images without labels: which of them may be learned from, and how they are read."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from vit.config.files import PACK_MODE, PREPROCESSING
from vit.config.pack import PackParams
from vit.data.audit.duplicates import first_near_duplicates
from vit.data.audit.scan import Drawn, scan
from vit.data.batches import Packed
from vit.data.decoded import Decoded, Part, workers_of
from vit.data.images import SETTINGS
from vit.data.manifest import Row, read_rows
from vit.data.pack import pack_images, pack_labels
from vit.data.sources.archives import is_archive
from vit.data.sources.listing import list_files
from vit.errors import UserError
from vit.files import read_json, write_table

HELD_OUT = ("val", "test")
BLOCK = 4096  # images whose thumbnails are in memory at once
TABLE, PART = "unlabelled.csv", "unlabelled"


@dataclass(frozen=True)
class Unlabelled:
    """The images that may be learned from, with the digests of their files (N, 32), and those left out.

    `left_out` has a row for each of them: `path`, `reason` (`unreadable`, `near val`, `near test` or `link`) and
    `detail`.
    """

    rows: list[Row]
    digests: np.ndarray
    left_out: list[dict[str, str]]

    def counts(self) -> dict[str, int]:
        """How many images were left out, by reason."""
        return {
            reason: sum(row["reason"] == reason for row in self.left_out)
            for reason in ("unreadable", *(f"near {part}" for part in HELD_OUT), "link")
        }


def find_unlabelled(folder: Path, raw: Path, splits: Path, preprocessing: dict) -> Unlabelled:
    """Look at every image below `folder`; unreadable ones, and those equal or nearly equal to a val or test image,
    by the audit's rule for near duplicates, are left out.

    Raises UserError if no image is left, and for an archive, whose images would be ignored.
    """
    found = list_files(folder.resolve(), folder)
    if archive := next(filter(is_archive, found.others), None):
        raise UserError(f"{folder}/{archive} is an archive, and its images would be ignored; unpack it and remove it")
    drawn = Drawn(preprocessing["value_range"], preprocessing["background"])
    held_out = [(part, row) for part in HELD_OUT for row in read_rows(splits / f"{part}.csv")]
    known = scan(raw, [row for _, row in held_out], drawn=drawn)
    parts = {row.path: part for part, row in held_out}
    images = [Row(path.as_posix(), "", "") for path in found.images]
    left_out = [{"path": path.as_posix(), "reason": "link", "detail": "not followed"} for path in found.links]
    rows, digests = [], [np.empty((0, 32), np.uint8)]
    for start in range(0, len(images), BLOCK):
        seen = scan(folder, images[start : start + BLOCK], drawn=drawn)
        left_out += [{"path": row.path, "reason": "unreadable", "detail": why} for row, why in seen.broken]
        twins = first_near_duplicates(seen, known)
        for row, twin in zip(seen.rows, twins.tolist(), strict=True):
            if twin >= 0:
                like = known.rows[twin].path
                left_out.append({"path": row.path, "reason": f"near {parts[like]}", "detail": like})
        kept = np.flatnonzero(twins < 0)
        rows += [seen.rows[index] for index in kept.tolist()]
        digests.append(seen.looks.only(kept).column("file"))
    if not rows:
        without = (
            f", as {len(left_out)} were left out, such as {left_out[0]['path']} ({left_out[0]['reason']})"
            if left_out
            else ""
        )
        raise UserError(
            f"pretraining has no image to learn from in {folder}/{without}; put images there (`dvc add` those that "
            "queued runs and other machines need), or set pretrain.epochs to 0"
        )
    return Unlabelled(rows, np.concatenate(digests), left_out)


def read_unlabelled(images: Unlabelled, folder: Path, packed: Path, temporary: Path) -> Part:
    """The images below `folder` as train images are read: packed, here in `temporary`, or decoded in every epoch.

    The arrays are memory-mapped. Raises UserError naming the file if an image cannot be resized.
    """
    preprocessing, mode = read_json(packed / PREPROCESSING), read_json(packed / PACK_MODE)
    settings = {name: preprocessing[name] for name in SETTINGS}
    if mode["mode"] == "none":
        paths = [folder / row.path for row in images.rows]
        labels = torch.zeros(len(paths), dtype=torch.long)
        return Decoded(paths, labels, settings | {"keep_margin": True}, workers_of(mode))
    table = temporary / TABLE
    write_table(table, (row._asdict() for row in images.rows), list(Row._fields))
    pack_labels(table, [""], temporary / f"{PART}_labels.npy")
    pack_images(folder, table, PackParams(**settings), "train", temporary / f"{PART}_images.npy")
    return Packed.load(temporary, PART)
