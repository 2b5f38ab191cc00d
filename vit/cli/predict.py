"""`vit predict`: label images with a trained model."""

import csv
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vit.cli.command import command, model_option, print_json
from vit.errors import UserError, one_line

if TYPE_CHECKING:
    from vit.inference.classifier import Classifier
    from vit.inference.labelling import Prediction

Failures = list[tuple[Path, str]]


def _alone(context: click.Context, option: click.Option, value: bool) -> bool:
    """Refuse --json together with --csv, in either order."""
    if value and any(context.params.get(name) for name in ("as_json", "as_csv")):
        raise click.UsageError("--json and --csv cannot be combined; give one of them", context)
    return value


@command("vit predict data/raw/3 'data/raw/[58]/*.png' --top-k 3 --csv")
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...", help="Files, folders, or globs in quotes.")
@model_option
@click.option(
    "--top-k", type=click.IntRange(min=1), default=1, metavar="K", help="Print the K most likely classes of each image."
)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    callback=_alone,
    help="Print a list, an object per image: image, label, index (the label's position in the model's class order, "
    "from 0), confidence, probabilities by class; or image and error.",
)
@click.option(
    "--csv",
    "as_csv",
    is_flag=True,
    callback=_alone,
    help="Print a table with a row per image and class: image, rank, label, index, probability.",
)
@click.option(
    "--explain",
    type=click.Path(path_type=Path),
    metavar="PNG",
    help="Draw where the model looked, over the image; for several images, a contact sheet.",
)
def predict(
    images: tuple[str, ...], model: str | None, top_k: int, as_json: bool, as_csv: bool, explain: Path | None
) -> None:
    """Label images with a trained model.

    Unreadable images are reported on stderr and all others are labelled; the exit status is then 1.
    """
    from vit.inference.labelling import find_images, predictions
    from vit.registry.loading import load_classifier

    failures: Failures = []

    def on_failure(path: Path, error: UserError) -> None:
        print(f"error: {one_line(error)}", file=sys.stderr)
        failures.append((path, str(error)))

    paths = find_images(list(images))
    if explain:
        _check_explain(explain, paths)
    classifier = load_classifier(model)
    found: Iterable[Prediction] = predictions(classifier, paths, top_k, on_failure)
    if explain:
        found = _drawn(explain, classifier, found)
    if as_csv:
        _print_csv(found)
    elif as_json:
        _print_json(found, failures)
    else:
        _print(found)
    if failures:
        sys.exit(1)


def _print(found: Iterable["Prediction"]) -> None:
    for one in found:
        classes = (f"{name} ({share:.1%})" for name, share in zip(one.classes, one.probabilities, strict=True))
        print(f"{one.path}: {', '.join(classes)}")


def _print_csv(found: Iterable["Prediction"]) -> None:
    from vit.inference.labelling import COLUMNS

    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(COLUMNS)
    for one in found:
        table.writerows(one.rows())


def _print_json(found: Iterable["Prediction"], failures: Failures) -> None:
    entries: list[dict] = [
        {
            "image": str(one.path),
            "label": one.classes[0],
            "index": one.indices[0],
            "confidence": one.probabilities[0],
            "probabilities": dict(zip(one.classes, one.probabilities, strict=True)),
        }
        for one in found
    ]
    print_json(entries + [{"image": str(path), "error": reason} for path, reason in failures])


def _check_explain(path: Path, images: list[Path]) -> None:
    from vit.evaluation.explain import SHEET_IMAGES

    if path.suffix.lower() != ".png" or path.is_dir():
        raise UserError(f"--explain {path}: the file must end in .png; for example {path.with_suffix('.png').name}")
    if path in images:
        raise UserError(f"--explain {path}: is one of the images and would be overwritten; use another name")
    if len(images) > SHEET_IMAGES:
        raise UserError(f"--explain draws at most {SHEET_IMAGES} images, not {len(images)}; name fewer")


def _drawn(path: Path, classifier: "Classifier", found: Iterable["Prediction"]) -> list["Prediction"]:
    """Draw explanations of the predictions and return them. Raises UserError if the model has no attention."""
    from vit.evaluation.explain import explanation_png, explanation_sheet, require_attention
    from vit.files import replacing

    require_attention(classifier)
    found = list(found)
    pictures = [explanation_png(classifier, one.image, one.indices[0]) for one in found]
    titles = [f"{one.classes[0]} ({one.probabilities[0]:.0%}) {one.path.name}" for one in found]
    if pictures:
        with replacing(path) as temporary:
            temporary.write_bytes(pictures[0] if len(pictures) == 1 else explanation_sheet(pictures, titles))
    return found
