"""The command line for a person with an image: `python -m vit.predict IMAGE...` prints label and confidence."""

import argparse
from pathlib import Path

from vit.errors import run_program
from vit.inference import Classifier
from vit.params import load_params
from vit.registry.gate import CHAMPION
from vit.registry.models import downloaded


def main() -> None:
    """Label the images named on the command line, one line each."""
    parser = argparse.ArgumentParser(prog="python -m vit.predict", description="Label images with the trained model.")
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="image files")
    parser.add_argument(
        "--model",
        help="models:/NAME@ALIAS, models:/NAME/VERSION or a folder such as `model`; the champion if not given",
    )
    arguments = parser.parse_args()
    uri = arguments.model or f"models:/{load_params().register_.name}@{CHAMPION}"
    with downloaded(uri) as folder:
        classifier = Classifier.load(folder)
    for path, answer in zip(arguments.images, classifier.classify(arguments.images), strict=True):
        print(f"{path}: {answer['label']} ({answer['confidence']:.1%})")


if __name__ == "__main__":
    run_program(main)
