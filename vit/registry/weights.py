"""Weights of a registered version that a training starts from or learns from."""

import re
from collections import Counter
from pathlib import Path

from vit.config.files import WEIGHTS
from vit.errors import UserError
from vit.files import read_table
from vit.registry.lookup import images_of
from vit.registry.versions import downloaded, pinned
from vit.training.weight_sources import copy_weights


def fetch_version(named: str, target: Path, parameter: str, images: Path) -> None:
    """Copy the weights and settings of `models:/name/version` to the folder `target`.

    `images` is the table of the present split, data/audit/images.csv. Raises UserError naming `parameter` if there is
    no such version, if it is an alias, or if it was trained on images that are val or test now.
    """
    called = f"{parameter} '{named}'"
    if not re.fullmatch(r"models:/[^/@]+/\d+", named):
        raise UserError(f"{called} is an alias and may move; write {pinned(named)}, for which it stands now")
    _require_unseen(images_of(named), read_table(images), called)
    with downloaded(named) as folder:
        copy_weights(folder / WEIGHTS, target, called)


def _require_unseen(theirs: list[dict], ours: list[dict], called: str) -> None:
    """What a model knows of val and test images would be learned from it, and every score of its pupil be untrue."""
    trained = {digest for row in theirs if row["part"] == "train" for digest in _digests(row)}
    seen = Counter(row["part"] for row in ours if row["part"] in ("val", "test") and trained & _digests(row))
    if seen:
        raise UserError(
            f"{called} was trained on {seen['val']} images that are val and {seen['test']} that are test here, and "
            "no score would be true; name a version of this very split, or set section split to that of the version"
        )


def _digests(row: dict) -> set[str]:
    return {row["file_sha256"], row["pixels_sha256"]}
