"""Weights in a file that a training starts from or learns from; torch is imported only for a PyTorch file."""

import shutil
from pathlib import Path

from safetensors import SafetensorError, safe_open

from vit.config.files import CONFIG, WEIGHTS
from vit.errors import UserError
from vit.files import read_json

FOLDER = "weights"  # a dependency of the stage, so that DVC notices every change in it
# Where published checkpoints keep the weights, beside optimizer and epoch; as in timm, an average before the last step.
WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model")
OF_OURS = {"classes", "image_size", "channels", "model"}  # in a config.json of this pipeline


def fetch_file(named: str, target: Path, parameter: str) -> None:
    """Copy the file in the folder `weights`, or folder of a model there, to `target` as model.safetensors.

    With config.json where that lies beside a `model.safetensors`. Raises UserError naming `parameter` if there is no
    such file, or no weights in it.
    """
    source, called = _in_folder(named, parameter), f"{parameter} '{named}'"
    if not source.is_file():
        raise UserError(f"{called} is a folder without {WEIGHTS}; name a file, or a folder as `model`")
    if source.suffix == ".safetensors":
        copy_weights(source, target, called)
    else:
        _convert(source, target / WEIGHTS, called)


def _in_folder(named: str, parameter: str) -> Path:
    path = Path(named)
    if path.parts[0] != FOLDER or ".." in path.parts:
        raise UserError(
            f"{parameter} '{named}' lies outside of the folder {FOLDER}, where DVC notices changes: "
            f"`dvc import-url {named} {FOLDER}/{path.name}`, or copy it there, and write {FOLDER}/{path.name}"
        )
    if not path.exists():
        raise UserError(
            f"{parameter} '{named}': no such file; queue and temp runs, and other machines, have only what DVC "
            f"keeps: `dvc add {named}` and `git add {named}.dvc`"
        )
    return path / WEIGHTS if path.is_dir() else path


def _convert(source: Path, target: Path, called: str) -> None:
    """Write the state dict in a PyTorch file, alone or inside a checkpoint, as safetensors; no pickle is run."""
    import safetensors.torch
    import torch

    try:
        loaded = torch.load(source, map_location="cpu", weights_only=True)
    except Exception as error:  # what a file of anybody's may raise there is not bounded
        is_program = "WeightsUnpickler" in str(error)
        reason = "holds more than weights, which could be any program" if is_program else "is no whole PyTorch file"
        raise UserError(f"{called} {reason}; save `model.state_dict()` alone, or as safetensors") from error
    if isinstance(loaded, dict):
        loaded = next((loaded[name] for name in WRAPPERS if isinstance(loaded.get(name), dict)), loaded)
    if not isinstance(loaded, dict) or not loaded:
        raise UserError(f"{called} holds no state dict but {type(loaded).__name__}; save `model.state_dict()`")
    if others := [name for name, value in loaded.items() if not isinstance(value, torch.Tensor)]:
        raise UserError(f"{called} is no state dict: '{others[0]}' in it is no tensor; save `model.state_dict()`")
    weights = {name: tensor.detach().clone().contiguous() for name, tensor in loaded.items()}  # clones share no memory
    safetensors.torch.save_file(weights, target)


def copy_weights(source: Path, target: Path, called: str) -> None:
    """Copy a safetensors file, and the settings of a model of ours beside it, to the folder `target`."""
    try:
        with safe_open(source, framework="numpy") as opened:
            names = opened.keys()
    except (OSError, SafetensorError) as error:
        raise UserError(f"{called} is no safetensors file ({error}); get it again") from error
    if not names:
        raise UserError(f"{called} holds no tensors; get it again")
    shutil.copyfile(source, target / WEIGHTS)
    config = source.with_name(CONFIG)
    if source.name == WEIGHTS and config.is_file() and read_json(config).keys() >= OF_OURS:
        shutil.copyfile(config, target / CONFIG)
