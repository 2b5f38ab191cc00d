"""Weights of a registered version, to initialize a training or to teach it."""

import re
from collections import Counter
from pathlib import Path

from vit.config.files import WEIGHTS
from vit.errors import UserError
from vit.files import read_table
from vit.registry.lookup import images_of
from vit.registry.versions import downloaded, pinned, resolve
from vit.tracking.store import open_store
from vit.training.weight_sources import NONE_HELD_OUT, UNKNOWN, copy_weights


def fetch_version(named: str, target: Path, parameter: str, images: Path) -> str:
    """Copy the weights and settings of `models:/name/version` to the folder `target`.

    Returns `NONE_HELD_OUT`, or `UNKNOWN` if the version itself began with weights, or learned from a teacher or from
    images without labels, of which that is not known. `images` is the table of the current split,
    data/audit/images.csv. Raises UserError naming `parameter` if the version does not exist, is given by an alias, or
    was trained on images that are now val or test.
    """
    called = f"{parameter} '{named}'"
    if not re.fullmatch(r"models:/[^/@]+/\d+", named):
        raise UserError(f"{called} is an alias and may move; write {pinned(named)}, to which it points now")
    _require_unseen(images_of(named), read_table(images), called)
    with downloaded(named) as folder:
        copy_weights(folder / WEIGHTS, target, called)
    store = open_store()
    tags = store.client.get_model_version(*resolve(store.client, named)).tags
    seen = (tags.get(f"{role}_images_seen") for role in ("init", "teacher") if f"{role}_sha256" in tags)
    if "pretrained_sha256" in tags:  # on images that were compared with another val and test
        return UNKNOWN
    return NONE_HELD_OUT if all(one == NONE_HELD_OUT for one in seen) else UNKNOWN


def _require_unseen(theirs: list[dict], ours: list[dict], called: str) -> None:
    """A model trained on val or test images would pass on what it knows of them and inflate every score."""
    trained = {digest for row in theirs if row["part"] == "train" for digest in _digests(row)}
    seen = Counter(row["part"] for row in ours if row["part"] in ("val", "test") and trained & _digests(row))
    if seen:
        raise UserError(
            f"{called} was trained on {seen['val']} images that are val and {seen['test']} that are test here, which "
            "would inflate every score; name a version trained on this split, or set section split to the version's"
        )


def _digests(row: dict) -> set[str]:
    return {row["file_sha256"], row["pixels_sha256"]}
