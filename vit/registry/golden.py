"""The golden images of a version: eight val images with what `evaluate` predicted, by which a server proves it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from vit.config.files import CONFIG
from vit.data.images import MODES, decode, packed_size, pixel_count, settings_of
from vit.data.resizing import pixels_needed
from vit.files import read_json, read_table, write_json
from vit.serving.golden import GOLDEN, PROBABILITIES

COUNT = 8
LOOKED_AT = 4  # images for each that is chosen
COLUMN = "p_"  # + class: its probability in the table of predictions


@dataclass(frozen=True)
class Evaluated:
    """The table of predictions for val, and the folder that its paths are relative to."""

    predictions: Path
    raw: Path


def write_golden(folder: Path, model_folder: Path, evaluated: Evaluated) -> None:
    """Write `golden/` to `folder`, for the model in `model_folder`; nothing if val is empty.

    Each PNG holds an image as it is decoded, before it is cropped and resized, so that the model gets the pixels that
    it got from the file itself. Raises UserError if a file is missing or not readable.
    """
    config = read_json(model_folder / CONFIG)
    recorded = {}
    for index, row in enumerate(_chosen(evaluated)):
        file = folder / GOLDEN / f"{index}.png"
        file.parent.mkdir(exist_ok=True)
        decoded(evaluated.raw / row["path"], config).save(file, "PNG")
        recorded[file.name] = {name: float(row[f"{COLUMN}{name}"]) for name in config["classes"]}
    if recorded:
        write_json(folder / GOLDEN / PROBABILITIES, recorded)


def decoded(path: Path, config: dict) -> Image.Image:
    """The 8-bit image that `load_image` crops and resizes; a JPEG is smaller here than in its file, as it is there."""
    settings = settings_of(config)
    size = packed_size(settings["image_size"], settings["margin"])
    sides = (4 if settings["trim_bars"] else 2) * pixels_needed(size, settings.get("crop_pct", 1.0))
    mode, background = MODES[settings["channels"]], settings.get("background", "white")
    return decode(path, mode, sides, settings.get("value_range"), background).image


def _chosen(evaluated: Evaluated) -> list[dict[str, str]]:
    """From each eighth of the table, which is in the order of the classes, the smallest of a few images."""
    rows = read_table(evaluated.predictions)
    chosen = []
    for places in np.array_split(np.arange(len(rows)), COUNT):
        few = [rows[place] for place in places[:: -(-len(places) // LOOKED_AT)]] if len(places) else []
        if few:
            chosen.append(min(few, key=lambda row: pixel_count(evaluated.raw / row["path"])))
    return chosen
