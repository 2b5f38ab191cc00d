"""Published weights under this project's names, with the settings that belong to them; without torch."""

import logging
from collections import ChainMap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.numpy
from safetensors import SafetensorError, safe_open

from vit.config.files import CONFIG, WEIGHTS
from vit.errors import UserError
from vit.files import replacing, write_json
from vit.models.published.reading import TensorFile
from vit.models.published.recognize import Published, recognize
from vit.training.published_images import SETTINGS, images_of

# What a classifier of this project has besides, so that a published one can teach.
OF_A_CLASSIFIER = {"fit": "crop", "margin": 0.0, "trim_bars": False, "compute": {"attention": "fused"}}

log = logging.getLogger("vit")


def is_published(config: Mapping[str, Any]) -> bool:
    """Whether this is the config.json of timm or of transformers."""
    return "architecture" in config or "model_type" in config


def recognized(files: list[Path], settings: Mapping[str, Mapping[str, Any]], called: str) -> Published:
    """What the safetensors `files`, one or shards, hold. Raises UserError beginning with `called` if it is unknown."""
    shapes = {name: shape for file in files for name, shape in TensorFile(file).shapes.items()}
    return recognize(shapes, settings[SETTINGS], called)


def write_translated(files: list[Path], settings: Mapping[str, Mapping[str, Any]], target: Path, called: str) -> None:
    """Write the weights and a config.json to the folder `target`. Raises UserError as `recognized`."""
    found = recognized(files, settings, called)
    tensors: Any = map(TensorFile, files)
    try:
        weights = found.translate(ChainMap(*tensors))
    except ValueError as error:  # quantized weights
        raise UserError(f"{called}: {error}; use weights in float32, float16 or bfloat16") from error
    with replacing(target / WEIGHTS) as temporary:
        safetensors.numpy.save_file(weights, temporary)
    write_json(target / CONFIG, found.config() | OF_A_CLASSIFIER | (images_of(settings, called) or {}))
    height, width = found.image_size
    head = f"{found.outputs} outputs" if found.outputs else "no head"
    log.info(f"{called}: {found.architecture} by {found.naming}, {height}x{width} pixels, {head}")
    for reason in dict.fromkeys(found.dropped.values()):
        names = [name for name, why in found.dropped.items() if why == reason]
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        log.info(f"not part of the image model: {reason} ({names[0]}{more})")


def require_tensors(source: Path, called: str) -> None:
    """Raises UserError unless `source` is a safetensors file that holds tensors."""
    try:
        with safe_open(source, framework="numpy") as opened:
            names = opened.keys()
    except (OSError, SafetensorError) as error:
        raise UserError(f"{called} is not a safetensors file ({error}); download it again") from error
    if not names:
        raise UserError(f"{called} holds no tensors; download it again")
