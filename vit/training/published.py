"""Weights that others have published, by name."""

import shutil
from pathlib import Path

from vit.config.files import WEIGHTS
from vit.errors import UserError
from vit.files import temporary_folder
from vit.training import hub_weights, torchvision_weights
from vit.training.hub_weights import HubModel
from vit.training.published_images import SETTINGS
from vit.training.torchvision_weights import TorchvisionModel
from vit.training.translated import is_published, write_translated
from vit.training.weight_sources import as_safetensors

PUBLISHED = (hub_weights.PREFIX, torchvision_weights.PREFIX)  # what their names begin with


def find_published(named: str, parameter: str, may_move: bool = False) -> HubModel | TorchvisionModel:
    """The model that `parameter` names. Raises UserError as `hub_weights.find_model`."""
    if named.startswith(torchvision_weights.PREFIX):
        return torchvision_weights.find_model(named, parameter)
    return hub_weights.find_model(named, parameter, may_move)


def fetch_published(named: str, target: Path, parameter: str) -> dict:
    """Write the weights to the folder `target` under this project's names, and return what is known of them.

    Those of torchvision, and of a repository without config.json, keep their names. Raises UserError naming `parameter`
    if they cannot be fetched or are not weights of a model that this project has.
    """
    model, called = find_published(named, parameter), f"{parameter} '{named}'"
    with temporary_folder(target / "converted") as folder:
        files = [as_safetensors(file, folder, called) for file in model.weights]
        if is_published(model.settings.get(SETTINGS, {})):
            write_translated(files, model.settings, target, called)
        elif len(files) == 1:
            shutil.copyfile(files[0], target / WEIGHTS)
        else:
            raise UserError(f"{called} is in {len(files)} files without a {SETTINGS}; use other weights")
    return model.about
