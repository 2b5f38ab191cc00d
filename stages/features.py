"""features: for `train.frozen_layers: all`, what the frozen model makes of every train and val image; else nothing."""

from dataclasses import asdict
from pathlib import Path

from vit.config.files import FEATURES, INIT, PACKED, PREPROCESSING, PRETRAINED, RAW, SPLITS, WEIGHTS
from vit.config.params_file import load_params
from vit.config.schema import Params
from vit.errors import UserError, run_program
from vit.files import read_json, replacing_folder


def main() -> None:
    """Run the stage; the old folder stays until the new one is complete."""
    params = load_params()
    with replacing_folder(FEATURES) as folder:
        # DVC warns about an empty folder at every command.
        (folder / "README.txt").write_text(
            "Features of train and val images; only this file unless train.frozen_layers is all.\n", encoding="utf-8"
        )
        print(store(params, folder) if params.train.frozen_layers == "all" else "none: train.frozen_layers is not all")


def store(params: Params, folder: Path) -> str:
    """Write the features to `folder`; returns what they are. Raises UserError if the model has no weights to keep."""
    # Late: torch takes seconds to import and is rarely needed.
    import torch

    from vit.data.decoded import load_part
    from vit.inference.classifier import Classifier
    from vit.training.device import apply, choose, find_device
    from vit.training.distillation import student_settings
    from vit.training.distributed import World
    from vit.training.features import write_features
    from vit.training.initial import initialize, start_of

    start = start_of(PRETRAINED, INIT)
    if not (start / WEIGHTS).is_file():
        raise UserError(
            "train.frozen_layers all trains only the head, but train.init_from is null, so all other weights would "
            "stay random; set train.init_from, or frozen_layers to 0"
        )
    preprocessing = read_json(PACKED / PREPROCESSING)
    compute, _ = choose(params.train, params.model, preprocessing["image_size"], World())
    apply(compute)
    config = {**preprocessing, "model": student_settings(params.model, params.train), "compute": asdict(compute)}
    torch.manual_seed(params.train.seed)  # as in train, for tokens that the weights lack
    classifier = Classifier.new(config, find_device(params.train.device))
    initialize(classifier, start)
    train, val = (load_part(PACKED, part, RAW, SPLITS) for part in ("train", "val"))
    versions, width = write_features(classifier, params.train, compute, train, val, folder)
    varied = f" as they are and in {versions - 1} augmented versions" if versions > 1 else ""
    return f"{width} features of {len(train)} train images{varied}, and of {len(val)} val images; {compute}"


if __name__ == "__main__":
    run_program(main)
