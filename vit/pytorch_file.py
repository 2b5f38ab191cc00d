"""Weights in PyTorch's own file format, read without running what a pickle may hold, as safetensors."""

import pickle
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from vit.errors import UserError

# Where published checkpoints keep the weights, beside optimizer and epoch; as in timm, an average before the last step.
WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model")
UNREADABLE = (OSError, EOFError, RuntimeError, ValueError, KeyError, AttributeError, pickle.UnpicklingError)


def convert(source: Path, target: Path, called: str) -> None:
    """Write the state dict in a PyTorch file, alone or inside a checkpoint, to the safetensors file `target`.

    Raises UserError, beginning with `called`, if the file holds no state dict or more than tensors and plain values.
    """
    try:
        loaded = torch.load(source, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        is_program = "WeightsUnpickler" in str(error)
        reason = "holds more than weights, which could be any program" if is_program else "is no whole PyTorch file"
        raise UserError(f"{called} {reason}; save `model.state_dict()` alone, or as safetensors") from error
    safetensors.torch.save_file(_state_dict(loaded, called), target)


def _state_dict(loaded: object, called: str) -> dict[str, Tensor]:
    if isinstance(loaded, dict):
        loaded = next((loaded[name] for name in WRAPPERS if isinstance(loaded.get(name), dict)), loaded)
    if not isinstance(loaded, dict) or not loaded:
        raise UserError(f"{called} holds {type(loaded).__name__}, no state dict; save `model.state_dict()`")
    if others := [str(name) for name, value in loaded.items() if not isinstance(value, Tensor)]:
        raise UserError(f"{called} is no state dict: '{others[0]}' in it is no tensor; save `model.state_dict()`")
    return {name: tensor.detach().clone().contiguous() for name, tensor in loaded.items()}  # clones share no memory
