"""Weights from files, to initialize a training or to teach it; torch is imported only to convert or merge them."""

import shutil
from pathlib import Path

from safetensors import SafetensorError, safe_open

from vit.config.files import CONFIG, PUBLISHED_CONFIG, WEIGHTS
from vit.errors import UserError
from vit.files import read_json

FOLDER = "weights"  # a dependency of the stage, so that DVC notices changes
# Keys under which published checkpoints keep the weights; as in timm, averaged weights come first.
WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model")
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


def write_weights(files: list[Path], target: Path, called: str) -> None:
    """Write published `files` to the folder `target`: one safetensors or PyTorch file, or the shards of safetensors.

    Raises UserError beginning with `called` if they hold no weights.
    """
    for file in files:
        if file.suffix == ".safetensors":
            _require_tensors(file, called)
    if len(files) > 1:
        _merge(files, target / WEIGHTS)
    elif files[0].suffix == ".safetensors":
        shutil.copyfile(files[0], target / WEIGHTS)
    else:
        _convert(files[0], target / WEIGHTS, called)


def _merge(shards: list[Path], target: Path) -> None:
    import safetensors.torch

    weights = {}
    for shard in shards:
        weights |= safetensors.torch.load_file(shard)
    safetensors.torch.save_file(weights, target)


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
    """Copy a safetensors file to the folder `target`, with the config.json beside a `model.safetensors`."""
    _require_tensors(source, called)
    shutil.copyfile(source, target / WEIGHTS)
    config = source.with_name(CONFIG)
    if source.name == WEIGHTS and config.is_file():
        is_ours = read_json(config).keys() >= OF_OURS
        shutil.copyfile(config, target / (CONFIG if is_ours else PUBLISHED_CONFIG))


def _require_tensors(source: Path, called: str) -> None:
    try:
        with safe_open(source, framework="numpy") as opened:
            names = opened.keys()
    except (OSError, SafetensorError) as error:
        raise UserError(f"{called} is not a safetensors file ({error}); download it again") from error
    if not names:
        raise UserError(f"{called} holds no tensors; download it again")
