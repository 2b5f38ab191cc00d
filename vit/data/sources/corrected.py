"""Corrections by people, applied to the images that download has fetched, whatever their source."""

import hashlib
import shutil
from collections import Counter, defaultdict
from pathlib import Path

from vit.config.files import CORRECTED
from vit.data.corrections import IMAGES, Correction, read_corrections
from vit.data.formats import is_image
from vit.data.manifest import list_images
from vit.data.source_paths import source_paths, write_source_paths
from vit.errors import UserError
from vit.files import write_json

FOR_TRAIN = "train/feedback_"  # below the class, before the digest; no other split may have them


def correct(raw: Path, tables: Path, table: Path) -> dict[str, int]:
    """Relabel, remove and add images in `raw` as `table` says; the folder `images` beside it holds those to add.

    Writes the counts and the added paths to `tables`/CORRECTED and returns the counts. Paths at the source move along.
    Raises UserError for a class that the source lacks, a digest of no image, and a class left without an image.
    """
    corrections = read_corrections(table)
    found = list_images(raw)
    labels = {row.label for row in found}
    here: dict[str, list[str]] = defaultdict(list)
    for row in found:
        here[_sha256(raw / row.path)].append(row.path)
    to_add = _images_beside(table)
    for one in corrections:
        _refuse_unusable(one, table, labels, known=one.sha256 in here, addable=one.sha256 in to_add)

    counts: Counter[str] = Counter(kept=0, relabelled=0, removed=0, added=0)
    moved: dict[str, str] = {}
    added: list[str] = []
    for one in corrections:
        if paths := here.get(one.sha256):
            changed = _apply(one, raw, paths)
            moved |= changed
            counts[{"keep": "kept", "relabel": "relabelled", "remove": "removed"}[one.action]] += len(changed)
        elif one.action != "remove":
            path = f"{one.label}/{FOR_TRAIN}{one.sha256}{to_add[one.sha256].suffix.lower()}"
            (raw / path).parent.mkdir(exist_ok=True)
            shutil.copyfile(to_add[one.sha256], raw / path)
            added.append(path)
    counts["added"] = len(added)
    if emptied := sorted(labels - {row.label for row in list_images(raw) if row.path not in set(added)}):
        raise UserError(f"{table}: class '{emptied[0]}' would have no image left; keep at least one of its images")
    _remember_sources(tables, moved)
    write_json(tables / CORRECTED, {**counts, "paths": sorted(added)})
    return dict(counts)


def _images_beside(table: Path) -> dict[str, Path]:
    """The image files in the folder beside a table, by the digest of their bytes, which is also their name.

    Raises UserError if it is not.
    """
    folder = table.parent / IMAGES
    files = sorted(path for path in folder.glob("[!.]*") if path.is_file() and is_image(path))
    by_digest = {_sha256(path): path for path in files}
    for digest, path in by_digest.items():
        if path.stem != digest:
            raise UserError(f"{path}: its SHA-256 is {digest}; rename it to {digest}{path.suffix}, or delete it")
    return by_digest


def _refuse_unusable(one: Correction, table: Path, labels: set[str], known: bool, addable: bool) -> None:
    needs_label = one.action == "relabel" or (one.action == "keep" and not known)
    if needs_label and one.label not in labels:
        listed = ", ".join(sorted(labels)[:10]) + (" ..." if len(labels) > 10 else "")
        raise UserError(
            f"{table}: '{one.label}', the label of {_called(one)}, is not a class here; classes are {listed}"
        )
    if not known and not addable:
        raise UserError(
            f"{table}: {_called(one)} matches no image of the source and none in {table.parent / IMAGES}; delete its "
            "row, or set data.corrections to null for another data set; queued and --temp runs have only files that "
            f"DVC tracks: run `dvc add {table.parent / IMAGES}` and `git add {table.parent / IMAGES}.dvc`"
        )


def _called(one: Correction) -> str:
    return f"{one.sha256[:12]} ('{one.path}')"


def _apply(one: Correction, raw: Path, paths: list[str]) -> dict[str, str]:
    """Apply a correction to the images of this digest; new paths (empty if removed) by old path, of those concerned."""
    changed = {}
    for path in paths:
        label, rest = path.split("/", 1)
        if one.action == "remove":
            (raw / path).unlink()
            changed[path] = ""
        elif one.action == "relabel" and label != one.label:
            changed[path] = _moved(raw, path, f"{one.label}/{rest}", one.sha256)
        elif one.action == "keep":
            changed[path] = path
    return changed


def _moved(raw: Path, path: str, target: str, digest: str) -> str:
    """Move an image; where its name is taken, part of its digest comes before the name."""
    if (raw / target).exists():
        folder, _, name = target.rpartition("/")
        target = f"{folder}/{digest[:12]}_{name}"
    (raw / target).parent.mkdir(parents=True, exist_ok=True)
    (raw / path).rename(raw / target)
    return target


def _remember_sources(tables: Path, moved: dict[str, str]) -> None:
    """Tables name an image by its path at the source, which a new label does not change."""
    root, sources = source_paths(tables)
    sources |= {new: sources.get(old, old) for old, new in moved.items() if new not in ("", old)}
    write_source_paths(
        tables, root, {path: source for path, source in sources.items() if moved.get(path, path) == path}
    )


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
