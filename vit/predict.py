"""The command line for a person with images: `python -m vit.predict IMAGE...` prints label and confidence."""

import argparse
import csv
import json
import logging
import signal
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from vit.data.images import SETTINGS, SUFFIXES, load_image
from vit.errors import UserError, run_program
from vit.evaluation.explain import SHEET_IMAGES, explanation_png, explanation_sheet, require_attention
from vit.files import replacing
from vit.inference.classifier import Classifier
from vit.registry.loading import MODEL_HELP, load_classifier

log = logging.getLogger("vit")

BATCH_SIZE = 64  # images


@dataclass(frozen=True)
class Answer:
    """An image file, its pixels uint8 (H, W, C) as the model saw them, and the likeliest classes, the first first."""

    path: Path
    image: np.ndarray
    classes: list[str]
    indices: list[int]
    probabilities: list[float]


def main() -> None:
    """Label the images named on the command line; exit with status 1 if one of them could not be read."""
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` ends it without a trace
    sys.stdout.reconfigure(errors="surrogateescape")  # file names that are no UTF-8
    arguments = _arguments()
    paths = find_images(arguments.images)
    if arguments.explain:
        _check_explain(arguments.explain, paths)
    classifier = load_classifier(arguments.model)
    if arguments.explain:
        require_attention(classifier)
    failures: list[tuple[Path, str]] = []
    answers: Iterable[Answer] = answer(classifier, paths, arguments.top_k, failures)
    if arguments.explain:
        answers = list(answers)
        _draw(arguments.explain, classifier, answers)
    if arguments.csv:
        _print_csv(answers)
    elif arguments.json:
        _print_json(answers, failures)
    else:
        _print(answers)
    if failures:
        sys.exit(1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m vit.predict", description="Label images with a trained model.")
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="image files, folders of them, or globs in quotes")
    parser.add_argument("--model", metavar="URI", help=MODEL_HELP)
    parser.add_argument("--top-k", type=int, default=1, metavar="K", help="print the K likeliest classes of each image")
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--json", action="store_true", help="print one JSON list, an object for each image")
    shape.add_argument("--csv", action="store_true", help="print a CSV table, a row for each image and class")
    parser.add_argument("--explain", type=Path, metavar="PNG", help="draw what the label was seen by, over the image")
    arguments = parser.parse_args()
    if arguments.top_k < 1:
        parser.error(f"--top-k {arguments.top_k}: ask for at least one class")
    return arguments


def find_images(named: list[str]) -> list[Path]:
    """Image files in the order of the command line, each once; those of folders and globs in the order of their names.

    A file that was named itself is kept whatever it is. Raises UserError if a folder or a glob gives none.
    """
    found: list[Path] = []
    for name in named:
        path = Path(name)
        if path.exists() or not set(name) & set("*?["):
            matches = [path]
        else:
            start = Path(path.anchor)
            matches = sorted(start.glob(str(path.relative_to(start))))
        files = [file for match in matches for file in (_in_folder(match) if match.is_dir() else [match])]
        if not files:
            what = f"no images in this folder ({', '.join(sorted(SUFFIXES))})" if path.is_dir() else "matches no file"
            raise UserError(f"{name}: {what}")
        found += files
    return list(dict.fromkeys(found))


def _in_folder(folder: Path) -> list[Path]:
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    return [path for path in files if not path.name.startswith(".")]


def answer(classifier: Classifier, paths: list[Path], top_k: int, failures: list[tuple[Path, str]]) -> Iterator[Answer]:
    """Label the images in batches; each that is not readable is reported on stderr and added to `failures`."""
    settings = {name: classifier.config[name] for name in SETTINGS}
    for start in range(0, len(paths), BATCH_SIZE):
        readable: list[tuple[Path, np.ndarray]] = []
        for path in paths[start : start + BATCH_SIZE]:
            try:
                readable.append((path, load_image(path, **settings)))
            except UserError as error:
                log.debug("an image could not be read", exc_info=True)
                print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
                failures.append((path, str(error)))
        if readable:
            images = torch.from_numpy(np.stack([image for _, image in readable]))
            for (path, image), row in zip(readable, classifier.probabilities(images), strict=True):
                indices = np.argsort(-row, kind="stable")[:top_k].tolist()
                names = [classifier.classes[index] for index in indices]
                yield Answer(path, image, names, indices, row[indices].tolist())


def _print(answers: Iterable[Answer]) -> None:
    for one in answers:
        classes = (f"{name} ({share:.1%})" for name, share in zip(one.classes, one.probabilities, strict=True))
        print(f"{one.path}: {', '.join(classes)}")


def _print_csv(answers: Iterable[Answer]) -> None:
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(["image", "rank", "label", "probability"])
    for one in answers:
        for rank, (name, share) in enumerate(zip(one.classes, one.probabilities, strict=True), 1):
            table.writerow([one.path, rank, name, share])


def _print_json(answers: Iterable[Answer], failures: list[tuple[Path, str]]) -> None:
    entries: list[dict] = [
        {
            "image": str(one.path),
            "label": one.classes[0],
            "confidence": one.probabilities[0],
            "probabilities": dict(zip(one.classes, one.probabilities, strict=True)),
        }
        for one in answers
    ]
    entries += [{"image": str(path), "error": reason} for path, reason in failures]
    print(json.dumps(entries, indent=2))


def _check_explain(path: Path, images: list[Path]) -> None:
    if path.suffix.lower() != ".png" or path.is_dir():
        raise UserError(f"--explain {path}: names no PNG file; call it {path.with_suffix('.png').name}, say")
    if path in images:
        raise UserError(f"--explain {path}: is one of the images and would be overwritten; choose another name")
    if len(images) > SHEET_IMAGES:
        raise UserError(f"--explain draws at most {SHEET_IMAGES} images, not {len(images)}; name fewer")


def _draw(path: Path, classifier: Classifier, answers: list[Answer]) -> None:
    pictures = [explanation_png(classifier, one.image, one.indices[0]) for one in answers]
    titles = [f"{one.classes[0]} ({one.probabilities[0]:.0%}) {one.path.name}" for one in answers]
    if pictures:
        with replacing(path) as temporary:
            temporary.write_bytes(pictures[0] if len(pictures) == 1 else explanation_sheet(pictures, titles))


if __name__ == "__main__":
    run_program(main)
