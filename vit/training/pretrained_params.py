"""A params.yaml for fine-tuning published weights: their geometry, their images, and a recipe."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from vit.config.document import params_yaml
from vit.config.files import PARAMS
from vit.config.params_file import checked
from vit.config.presets import base_values, merged
from vit.config.schema import Params
from vit.errors import UserError
from vit.training.published import find_published
from vit.training.published_images import PROCESSOR, SETTINGS, images_of, images_of_torchvision
from vit.training.torchvision_weights import TorchvisionModel
from vit.training.translated import is_published, recognized
from vit.training.weight_sources import as_safetensors

# A small rate, smaller still for the lower layers, whose features are general; few epochs, because they are learned.
RECIPE: dict[str, Any] = {
    "epochs": 20,
    "frozen_layers": 0,
    "optimizer": "adamw",
    "lr": 0.0003,
    "min_lr": 0.0,
    "warmup_epochs": 2.0,
    "weight_decay": 0.05,
    "layer_decay": 0.75,
    "betas": [0.9, 0.999],
    "clip_grad": 1.0,
}
OWN_RECIPE = {"layer_decay", "frozen_layers"}  # a preset that sets one of these is itself one for fine-tuning
DROP_PATH = 0.1


@dataclass(frozen=True)
class Pretrained:
    """Published weights by their pinned name, with their licence and their sections `pack` and `model`."""

    name: str
    licence: str | None
    pack: dict[str, Any]
    model: dict[str, Any]

    def params(self, base: Mapping[str, Any], differences: Mapping[str, Any], path: Path = PARAMS) -> Params:
        """`base`, all sections of a params.yaml, adapted to these weights.

        If it is a preset for fine-tuning, judged by its `differences`, its recipe, drop path and image size stay, the
        latter in whole patches. Raises UserError if the result contradicts itself.
        """
        is_own = not OWN_RECIPE.isdisjoint(differences.get("train", {}))
        recipe = {} if is_own else RECIPE | ({} if self.has_layers else {"layer_decay": 1.0})
        drop_path = {"drop_path_rate": base["model"]["drop_path_rate"] if is_own else DROP_PATH}
        changes = {
            "pack": self.pack | {"margin": 0.0},
            "model": base_values()["model"] | self.model | (drop_path if self.has_layers else {}),
            "train": recipe | {"init_from": self.name},
        }
        if is_own and (size := differences.get("pack", {}).get("image_size")):
            changes["pack"]["image_size"] = [self._in_patches(side) for side in size]
        return checked(Params, merged(base, changes), path)

    def _in_patches(self, side: int) -> int:
        patch = self.model.get("patch_size", 1)
        return patch * max(1, round(side / patch))

    @property
    def has_layers(self) -> bool:
        return "name" not in self.model

    def text(self, params: Params, based_on: str) -> str:
        """The whole params.yaml, which says where its parts come from."""
        header = [
            f"Fine-tuning of {self.name}.",
            f"Licence of these weights: {self.licence or 'not stated'}. What images they have seen is unknown: some of",
            "your test images may be among them.",
            "Sections pack and model are what the weights were made with; a smaller pack.image_size is faster.",
            f"Everything else is that of {based_on}, apart from a recipe for fine-tuning if it has none.",
            "All parameters are listed. Change one with `dvc exp run -S section.key=value`;",
            "`vit preset NAME` writes another preset.",
        ]
        return params_yaml(params.model_dump(by_alias=True), "\n".join(header))


def find_pretrained(named: str, parameter: str) -> Pretrained:
    """Download what `named` stands for, pinned to its current commit if it names none.

    Raises UserError naming `parameter` if there is no such model, or it is none that this project can be.
    """
    model, called = find_published(named, parameter, may_move=True), f"{parameter} '{named}'"
    if isinstance(model, TorchvisionModel):
        pack = images_of_torchvision(model.published.transforms(), called)
        return Pretrained(model.name, model.about["licence"], pack, {"name": f"torchvision/{model.model}"})
    if not is_published(model.settings.get(SETTINGS, {})):
        raise UserError(f"{called} has no {SETTINGS} of timm or transformers; set sections model and pack by hand")
    pack = images_of(model.settings, called)
    if pack is None:
        raise UserError(f"{called} has no {PROCESSOR}, which says how images are normalized; set section pack by hand")
    with TemporaryDirectory() as folder:
        files = [as_safetensors(file, Path(folder), called) for file in model.weights]
        found = recognized(files, model.settings, called)
    return Pretrained(model.name, model.about["licence"], pack, found.model)
