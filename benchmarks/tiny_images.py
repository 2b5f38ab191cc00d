"""A folder of generated images of 32x32 pixels with planted copies and near duplicates, as large as you like."""

from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from vit.data.pool import map_unordered

SIDE = 32  # pixels
CLASSES = 10
SCENE = 3  # images that may show one scene
SHARED = 5  # of so many scenes, one is shown by all its images, the others' images are unrelated
COPIED = 200  # of so many scenes, one is stored twice, byte for byte
AT_A_TIME = 4000  # images


def draw_folder(folder: Path, images: int, workers: int = 2) -> dict[str, int]:
    """Fill `folder` with `images` JPEGs in CLASSES classes; returns how many exact copies and scenes are in them."""
    for label in range(CLASSES):
        (folder / f"class{label}").mkdir(parents=True)
    starts = range(0, images, AT_A_TIME)
    list(map_unordered(partial(_draw, folder=folder, images=images), starts, workers))
    whole = range(images // SCENE)
    shared = [scene for scene in whole if scene % SHARED == 0]
    return {"copies": len([scene for scene in shared if scene % COPIED == 0]), "groups": len(shared)}


def _draw(start: int, folder: Path, images: int) -> None:
    for index in range(start, min(start + AT_A_TIME, images)):
        scene, place = divmod(index, SCENE)
        shared = scene % SHARED == 0
        random = np.random.default_rng([scene, 0 if shared else place + 1])
        picture = Image.fromarray(random.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        pixels = np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC)).astype(np.int16)
        if shared and not (scene % COPIED == 0 and place < 2):  # brighter by a level or two, with noise of its own
            pixels = pixels + place + np.random.default_rng([scene, place]).integers(-2, 3, pixels.shape)
        # Names without digits, which would be frame numbers; the images of a scene belong to one class.
        name = "".join(chr(ord("a") + int(digit, 16)) for digit in f"{index * 2_654_435_761 % 2**32:08x}")
        path = folder / f"class{scene // SHARED % CLASSES}" / f"{name}.jpg"
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path, quality=90)
