"""`vit label`: propose labels for images that have none."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vit.cli.command import command
from vit.errors import Interrupted, UserError, one_line

if TYPE_CHECKING:
    from vit.inference.classifier import Classifier

COLUMNS = ["file", "label", "confidence"]
TABLE = "labels.csv"
TEMPLATE = "a photo of a {}."
PAIR = "hf-hub:openai/clip-vit-base-patch32@COMMIT"


@command("vit label images --classes 'cat,dog' --model hf-hub:openai/clip-vit-base-patch32@COMMIT")
@click.argument("folder", type=click.Path(path_type=Path), metavar="FOLDER", help="Images, at any depth.")
@click.option(
    "--classes", metavar="NAMES", help="Classes to choose from, separated by commas; --model is then a pair of towers."
)
@click.option(
    "--model",
    metavar="URI",
    show_default="the champion",
    help="With --classes: a CLIP or SigLIP pair, hf-hub:OWNER/NAME@COMMIT or a folder. Without: models:/NAME@ALIAS, "
    "models:/NAME/VERSION or a folder such as `model`.",
)
@click.option("--template", "templates", multiple=True, metavar="TEXT", help=f"Sentence for --classes; '{TEMPLATE}'")
@click.option(
    "--min-confidence",
    type=click.FloatRange(0, 1),
    default=0.0,
    metavar="SHARE",
    help="Leave the label empty below this confidence.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="CSV", show_default=f"FOLDER/{TABLE}", help="The table."
)
@click.option("--force", is_flag=True, help="Overwrite the table if it exists.")
def label(
    folder: Path,
    classes: str | None,
    model: str | None,
    templates: tuple[str, ...],
    min_confidence: float,
    out: Path | None,
    force: bool,
) -> None:
    """Propose labels for images that have none.

    Writes a table for data.labels, the least confident image first, to be corrected by you. Unreadable images are
    reported on stderr and left out; the exit status is then 1. Ctrl-C writes what is done so far.
    """
    from vit.files import write_table

    out = out or folder / TABLE
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; name the folder that holds the images")
    _require_writable(out, folder, force)
    paths = _images(folder)
    classifier = _classifier(classes, model, templates)
    rows, failures, is_whole = _proposals(classifier, folder, paths, min_confidence)
    if not rows and is_whole:
        raise UserError(f"{folder}: none of its {failures} images can be read; nothing was written")
    if rows:
        rows.sort(key=lambda row: row["confidence"])
        write_table(out, [row | {"confidence": f"{row['confidence']:.4f}"} for row in rows], COLUMNS)
        _say(out, folder, rows, failures)
    if not is_whole:
        done = f"{out} holds {len(rows)} of {len(paths)} images" if rows else "nothing was written"
        raise Interrupted(f"interrupted; {done}", exit_status=130)
    if failures:
        sys.exit(1)


def _proposals(
    classifier: "Classifier", folder: Path, paths: list[Path], min_confidence: float
) -> tuple[list[dict], int, bool]:
    """Rows of the table, the number of images that have none because of an error, and False if Ctrl-C ended it."""
    from tqdm import tqdm

    from vit.inference.labelling import predictions

    rows: list[dict] = []
    failed: list[Path] = []

    def on_failure(path: Path, error: UserError) -> None:
        print(f"error: {one_line(error)}", file=sys.stderr)
        failed.append(path)

    try:
        for one in tqdm(predictions(classifier, paths, 1, on_failure), total=len(paths), unit="image", disable=None):
            name = one.path.relative_to(folder).as_posix()
            if len(name.splitlines()) > 1:
                on_failure(one.path, UserError(f"{name!r}: a table cannot hold this name; rename the file"))
                continue
            (confidence,), (found,) = one.probabilities, one.classes
            label = found if confidence >= min_confidence else ""
            rows.append({"file": name, "label": label, "confidence": confidence})
    except KeyboardInterrupt:
        return rows, len(failed), False
    return rows, len(failed), True


def _require_writable(out: Path, folder: Path, force: bool) -> None:
    """Refuse a table that cannot be written now, instead of after hours of work for it."""
    from tempfile import TemporaryFile

    if out.is_dir() or out.suffix.lower() != ".csv":
        raise UserError(f"--out {out}: must be a file that ends in .csv; for example {folder / TABLE}")
    if out.exists() and not force:
        raise UserError(f"{out} exists already, perhaps with your corrections; use --out, or --force to overwrite it")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=out.parent).close()
    except OSError as error:
        raise UserError(f"{out} cannot be written ({error.strerror}); name another file with --out") from error


def _images(folder: Path) -> list[Path]:
    """Those that data.labels will see: hidden ones are left out, and links that lead out of the folder."""
    from vit.data.formats import NAMES
    from vit.data.sources.listing import list_files

    found = list_files(folder.resolve(), folder)
    if found.links:
        print(f"{len(found.links)} links lead out of {folder} and are left out, such as {found.links[0]}")
    if not found.images:
        raise UserError(f"{folder}: no images in this folder ({NAMES})")
    return [folder / path for path in found.images]


def _classifier(classes: str | None, model: str | None, templates: tuple[str, ...]) -> "Classifier":
    from vit.config.files import CONFIG
    from vit.models.published.foreign import json_object

    if classes is None:
        if templates:
            raise UserError("--template describes the names of --classes, which are missing; give both or neither")
        beside = Path(model or "", CONFIG)
        if (model or "").startswith("hf-hub:") or (
            beside.is_file() and "model_type" in json_object(beside, f"--model {model}")
        ):
            raise UserError(f"--model {model} knows no classes of its own; name them with --classes 'cat,dog'")
        from vit.registry.loading import load_classifier

        return load_classifier(model)
    names = [name.strip() for name in classes.split(",")]
    if len(names) < 2 or "" in names:
        raise UserError(f"--classes '{classes}': name at least two classes, separated by commas; for example 'cat,dog'")
    if repeated := [name for name in names if names.count(name) > 1]:
        raise UserError(f"--classes '{classes}': '{repeated[0]}' occurs twice")
    if model is None:
        raise UserError(f"--classes needs a CLIP or SigLIP pair; name it with --model, for example {PAIR}")
    if wrong := [one for one in templates if one.count("{}") != 1]:
        raise UserError(
            f"--template '{wrong[0]}': must hold {{}} once, where the class name goes; for example '{TEMPLATE}'"
        )
    from vit.training.text_head import zero_shot

    return zero_shot(model, "--model", names, list(templates) or [TEMPLATE])


def _say(out: Path, folder: Path, rows: list[dict], failures: int) -> None:
    from collections import Counter

    counts = Counter(row["label"] for row in rows)
    empty = counts.pop("", 0)
    listed = ", ".join(f"{name} {count}" for name, count in counts.most_common())
    print(f"{out}: {len(rows)} images, the least confident first: {listed or 'no label'}")
    if empty:
        print(f"{empty} are below --min-confidence and have no label; fill it in, or data.labels leaves them out")
    if failures:
        print(f"{failures} unreadable images are not in it")
    if out.parent == folder:
        print(
            f"when you have corrected it: data.source: folder, data.path: {folder}, data.labels: {out.name}, "
            "data.label_column: label"
        )
