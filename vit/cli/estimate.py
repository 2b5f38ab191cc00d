"""`vit estimate`: how long a training will take and how much memory, before it starts."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vit.cli.command import command, json_option, print_json
from vit.config.files import PARAMS
from vit.quantities import duration, size

if TYPE_CHECKING:
    from vit.checks.pretraining import Pretraining
    from vit.checks.probe import Estimate


@command("vit estimate")
@click.option(
    "--params",
    type=click.Path(path_type=Path),
    default=PARAMS,
    metavar="FILE",
    help="Parameters of the training.",
)
@json_option(
    "an object: parameters, multiply_adds, images_per_second, minutes (null if the images are not known yet), memory "
    "in bytes, pretraining (null without it) and others"
)
def estimate(params: Path, as_json: bool) -> None:
    """Estimate what a training takes before you start it.

    Runs a few real training steps on noise, about five seconds. Pretraining is included; the other stages of the
    pipeline come on top.
    """
    from vit.checks.probe import estimate as measured
    from vit.config.params_file import load_params
    from vit.tracking import live  # noqa: F401  # a training holds MLflow in memory too

    found = measured(load_params(params))
    if as_json:
        print_json(dataclasses.asdict(found))
    else:
        print(found.summary, end="")
        print("\n".join(in_words(found)))


def in_words(found: "Estimate") -> list[str]:
    """The estimate in a few lines."""
    images = f"{found.train_images} train images ({found.images_from})" if found.train_images else found.images_from
    time = "time unknown" if found.minutes is None else f"about {duration(60 * found.minutes)}"
    lines = [
        f"{found.parameters / 1e6:.2f} M parameters, {found.multiply_adds / 1e6:.1f} M multiply-adds per image; "
        f"{found.compute}",
        f"images: {images}; {found.images_per_second:.0f} images/s in training, "
        f"{found.val_images_per_second:.0f} in validation",
        *_of_pretraining(found.pretraining),
        f"{found.epochs} epochs: {time}{' with pretraining' if found.pretraining else ''}; memory: {size(found.memory)}"
        + (f", on the device {size(found.device_memory)}" if found.device_memory else ""),
    ]
    return lines + ([f"not included: {', '.join(found.left_out)}"] if found.left_out else [])


def _of_pretraining(found: "Pretraining | None") -> list[str]:
    if found is None:
        return []
    return [
        f"pretraining: {found.epochs} epochs of {found.unlabelled_images} images without labels and of train, "
        f"{found.images_per_second:.0f} images/s: about {duration(60 * found.minutes)}"
    ]
