"""`vit export`: write a trained model for other programs."""

from pathlib import Path

import click

from vit.cli.command import command, model_option
from vit.errors import UserError

SUFFIXES = {"onnx": ".onnx", "torch": ".pt2", "timm": ""}


@command("vit export --format torch vit.pt2")
@click.argument(
    "out", type=click.Path(path_type=Path), metavar="OUT", help="The file to write, .onnx or .pt2, or timm's folder."
)
@click.option(
    "--format",
    "kind",
    required=True,
    type=click.Choice(sorted(SUFFIXES)),
    help="ONNX, a torch.export program, or timm.",
)
@model_option
def export(out: Path, kind: str, model: str | None) -> None:
    """Write a model for other programs.

    A file is written only if it reproduces the model's probabilities for random images. With timm, OUT is a new folder
    for `timm.create_model("local-dir:OUT", pretrained=True)`.
    """
    wanted = SUFFIXES[kind]
    if kind == "timm":
        _export_for_timm(out, model)
        return
    if out.suffix != wanted or out.is_dir():
        raise UserError(f"{out}: OUT must end in {wanted}; for example {out.with_suffix(wanted).name}")
    from vit.files import replacing
    from vit.inference.export import PARITY_BATCHES, check_parity, require_onnx, to_onnx, to_torch
    from vit.registry.loading import load_classifier

    if kind == "onnx":
        require_onnx()
    classifier = load_classifier(model)
    exported, run = (to_onnx if kind == "onnx" else to_torch)(classifier)
    difference = check_parity(classifier, run)
    with replacing(out) as temporary:
        temporary.write_bytes(exported)
    shape = ", ".join(str(size) for size in (*classifier.config["image_size"], classifier.config["channels"]))
    print(
        f"{out}: uint8 (batch, {shape}) to probabilities of {len(classifier.classes)} classes; differs "
        f"from the model by at most {difference:.1e} on {sum(PARITY_BATCHES)} random images"
    )


def _export_for_timm(out: Path, model: str | None) -> None:
    if out.exists():
        raise UserError(f"{out} exists already; name a new folder")
    from vit.files import replacing_folder
    from vit.inference.timm_format import write_timm
    from vit.registry.loading import load_classifier

    classifier = load_classifier(model)
    out.parent.mkdir(parents=True, exist_ok=True)
    with replacing_folder(out) as temporary:
        write_timm(classifier, temporary)
    temperature = classifier.config.get("temperature", 1.0)
    print(
        f'{out}: timm.create_model("local-dir:{out}", pretrained=True) gives the logits of {len(classifier.classes)} '
        f"classes; divide them by the temperature {temperature:g} before the softmax"
    )
