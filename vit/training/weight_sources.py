"""Weights made before that a training starts from or learns from: a file in the folder `weights`, or a version.

Neither torch nor mlflow is imported unless a PyTorch file or a version is named.
"""

import re
import shutil
from collections import Counter
from pathlib import Path

from safetensors import SafetensorError, safe_open

from vit.config.files import CONFIG, WEIGHTS
from vit.errors import UserError
from vit.files import read_json, read_table, sha256_of

FOLDER = "weights"  # a dependency of the stage, so that DVC notices every change in it
# Where published checkpoints keep the weights, beside optimizer and epoch; as in timm, an average before the last step.
WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model")
OF_OURS = {"classes", "image_size", "channels", "model"}  # in a config.json of this pipeline


def fetch_weights(named: str | None, target: Path, parameter: str, images: Path) -> dict[str, str] | None:
    """Copy what the parameter `parameter` names to the folder `target`: model.safetensors, and config.json where known.

    That is so of a registered version, and where it lies beside a `model.safetensors`. `images` is the table of the
    present split, data/audit/images.csv. Returns `source` and the `sha256` of the weights; None, and leaves the folder
    empty, if `named` is None. Raises UserError if there is no such file or version, if it is an alias, if it holds no
    weights, or if a version was trained on images that are val or test now.
    """
    if named is None:
        return None
    if named.startswith("models:/"):
        _bring_version(named, target, parameter, images)
    else:
        _bring_file(_in_folder(named, parameter), target, f"{parameter} '{named}'")
    return {"source": named, "sha256": sha256_of(target / WEIGHTS)}


def _bring_version(named: str, target: Path, parameter: str, images: Path) -> None:
    from vit.registry.lookup import images_of
    from vit.registry.versions import downloaded, pinned

    if not re.fullmatch(r"models:/[^/@]+/\d+", named):
        raise UserError(
            f"{parameter} '{named}' is no version but what may stand for another one tomorrow; write {pinned(named)}, "
            "for which it stands now"
        )
    _require_unseen(images_of(named), read_table(images), f"{parameter} '{named}'")
    with downloaded(named) as folder:
        _copy(folder / WEIGHTS, target, f"{parameter} '{named}'")


def _require_unseen(theirs: list[dict], ours: list[dict], called: str) -> None:
    """What a model knows of val and test images would be learned from it, and every score of its pupil be untrue."""
    trained = {digest for row in theirs if row["part"] == "train" for digest in _digests(row)}
    seen = Counter(row["part"] for row in ours if row["part"] in ("val", "test") and trained & _digests(row))
    if seen:
        raise UserError(
            f"{called} was trained on {seen['val']} images that are val and {seen['test']} that are test here, and "
            "no score would be true; name a version of this very split, or set block split to that of the version"
        )


def _digests(row: dict) -> set[str]:
    return {row["file_sha256"], row["pixels_sha256"]}


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


def _bring_file(source: Path, target: Path, called: str) -> None:
    if not source.is_file():
        raise UserError(f"{called} is a folder without {WEIGHTS}; name a file, or a folder as `model`")
    if source.suffix == ".safetensors":
        _copy(source, target, called)
    else:
        _convert(source, target / WEIGHTS, called)


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


def _copy(source: Path, target: Path, called: str) -> None:
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
