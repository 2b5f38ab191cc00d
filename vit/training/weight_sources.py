"""Weights from files, to initialize a training or to teach it; torch is imported only for a PyTorch file."""

import shutil
from pathlib import Path

from vit.config.files import CONFIG, WEIGHTS
from vit.errors import UserError
from vit.models.published.foreign import OwnConfig, json_object
from vit.training.published_images import PROCESSOR
from vit.training.translated import is_published, require_tensors, write_translated

FOLDER = "weights"  # a dependency of the stage, so that DVC notices changes
# Keys under which published checkpoints keep the weights; as in timm, averaged weights come first.
WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model")
# What data/weights.json says of the images that weights were trained on, as far as val and test are concerned.
UNKNOWN, NONE_HELD_OUT = "unknown", "none of val or test"
OF_OURS = {"classes", "image_size", "channels", "model"}  # keys in every config.json of this pipeline


def fetch_file(named: str, target: Path, parameter: str) -> None:
    """Copy a file, or a model's folder, from the folder `weights` to `target` as model.safetensors.

    A config.json beside a `model.safetensors` is copied too. Raises UserError naming `parameter` if the file does not
    exist or holds no weights.
    """
    source, called = _in_folder(named, parameter), f"{parameter} '{named}'"
    if not source.is_file():
        raise UserError(f"{called} is a folder without {WEIGHTS}; name a file, or a folder like `model`")
    if source.suffix == ".safetensors":
        copy_weights(source, target, called)
    else:
        _convert(source, target / WEIGHTS, called)


def as_safetensors(source: Path, folder: Path, called: str) -> Path:
    """A file of weights itself or, of a PyTorch file, a conversion in `folder`.

    Raises UserError beginning with `called` if it holds no weights.
    """
    if source.suffix == ".safetensors":
        require_tensors(source, called)
        return source
    converted = folder / f"{source.stem}.safetensors"
    _convert(source, converted, called)
    return converted


def _in_folder(named: str, parameter: str) -> Path:
    path = Path(named)
    if path.parts[0] != FOLDER or ".." in path.parts:
        raise UserError(
            f"{parameter} '{named}' lies outside the folder {FOLDER}, which DVC watches: run "
            f"`dvc import-url {named} {FOLDER}/{path.name}` or copy it there, and write {FOLDER}/{path.name}; a model "
            "on the Hugging Face hub is named hf-hub:OWNER/NAME@COMMIT"
        )
    if not path.exists():
        raise UserError(
            f"{parameter} '{named}': no such file; queued and --temp runs and other machines have only files that DVC "
            f"tracks: run `dvc add {named}` and `git add {named}.dvc`"
        )
    return path / WEIGHTS if path.is_dir() else path


def _convert(source: Path, target: Path, called: str) -> None:
    """Convert a PyTorch file, a state dict or a checkpoint with one, to safetensors; no pickle is executed."""
    import safetensors.torch
    import torch

    try:
        loaded = torch.load(source, map_location="cpu", weights_only=True)
    except Exception as error:  # an arbitrary file may raise anything
        is_program = "WeightsUnpickler" in str(error)
        reason = "holds more than weights, possibly a program" if is_program else "is not a complete PyTorch file"
        raise UserError(f"{called} {reason}; save only `model.state_dict()`, or use safetensors") from error
    if isinstance(loaded, dict):
        loaded = next((loaded[name] for name in WRAPPERS if isinstance(loaded.get(name), dict)), loaded)
    if not isinstance(loaded, dict) or not loaded:
        raise UserError(f"{called} holds a {type(loaded).__name__} instead of a state dict; save `model.state_dict()`")
    if others := [name for name, value in loaded.items() if not isinstance(value, torch.Tensor)]:
        raise UserError(f"{called} is not a state dict: its '{others[0]}' is not a tensor; save `model.state_dict()`")
    weights = {
        name: tensor.detach().clone().contiguous() for name, tensor in loaded.items()
    }  # safetensors refuses shared memory
    safetensors.torch.save_file(weights, target)


def copy_weights(source: Path, target: Path, called: str) -> None:
    """Copy a safetensors file to the folder `target`, with the config.json of this pipeline beside it.

    Beside a config.json of timm or transformers, the weights get this project's names.
    """
    require_tensors(source, called)
    config = source.with_name(CONFIG)
    known = json_object(config, called) if source.name == WEIGHTS and config.is_file() else {}
    if is_published(known):
        beside = [file for name in (CONFIG, PROCESSOR) if (file := source.with_name(name)).is_file()]
        settings = {file.name: json_object(file, called) for file in beside}
        write_translated([source], settings, target, called)
        return
    shutil.copyfile(source, target / WEIGHTS)
    if known.keys() >= OF_OURS:
        OwnConfig.read(known, called, CONFIG)
        shutil.copyfile(config, target / CONFIG)
