"""Weights that others have published, by name."""

from pathlib import Path

from vit.config.files import PUBLISHED_CONFIG
from vit.files import write_json
from vit.training import hub_weights, torchvision_weights
from vit.training.hub_weights import HubModel
from vit.training.torchvision_weights import TorchvisionModel
from vit.training.weight_sources import write_weights

PUBLISHED = (hub_weights.PREFIX, torchvision_weights.PREFIX)  # what their names begin with


def find_published(named: str, parameter: str, may_move: bool = False) -> HubModel | TorchvisionModel:
    """The model that `parameter` names. Raises UserError as `hub_weights.find_model`."""
    if named.startswith(torchvision_weights.PREFIX):
        return torchvision_weights.find_model(named, parameter)
    return hub_weights.find_model(named, parameter, may_move)


def fetch_published(named: str, target: Path, parameter: str) -> dict:
    """Write the weights to the folder `target`, with their publisher's config.json, and return what is known of them.

    Raises UserError naming `parameter` if they cannot be fetched or are not weights.
    """
    model, called = find_published(named, parameter), f"{parameter} '{named}'"
    write_weights(model.weights, target, called)
    if settings := model.settings.get("config.json"):
        write_json(target / PUBLISHED_CONFIG, settings)
    return model.about
