"""Golden images hold what the model's preprocessing works on: the pixels it makes of them are those of the file."""

from itertools import product

import numpy as np
import pytest
from PIL import Image

from vit.data.images import load_image
from vit.registry.golden import decoded

NOISE = np.random.default_rng(0).integers(0, 256, (120, 200, 4), dtype=np.uint8)
SIXTEEN = np.random.default_rng(1).integers(0, 4096, (120, 200), dtype=np.uint16)
FILES = {
    "photo.jpg": lambda path: Image.fromarray(NOISE[..., :3]).resize((500, 300)).save(path, quality=90),
    "turned.jpg": lambda path: Image.fromarray(NOISE[..., :3]).resize((300, 180)).save(path, exif=_turned()),
    "clear.png": lambda path: Image.fromarray(NOISE).save(path),
    "palette.gif": lambda path: Image.fromarray(NOISE[..., :3]).quantize(16).save(path),
    "deep.png": lambda path: Image.fromarray(SIXTEEN).save(path),
    "bars.jpg": lambda path: Image.fromarray(np.pad(NOISE[..., :3], ((40, 40), (0, 0), (0, 0)))).save(path),
}


def _turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


@pytest.mark.parametrize("name", FILES)
def test_the_png_gives_the_pixels_of_the_file_whatever_the_preprocessing(tmp_path, name):
    FILES[name](tmp_path / name)
    for channels, fit, bars, crop_pct in product((1, 3), ("crop", "center", "stretch"), (False, True), (1.0, 0.9)):
        settings = {"image_size": (32, 48), "channels": channels, "fit": fit, "margin": 0.125, "trim_bars": bars}
        settings |= {"crop_pct": crop_pct, "value_range": [0, 4095], "background": "black"}
        decoded(tmp_path / name, settings).save(tmp_path / "golden.png")
        pixels = load_image(tmp_path / "golden.png", **settings)
        assert np.array_equal(pixels, load_image(tmp_path / name, **settings)), settings
    with Image.open(tmp_path / "golden.png") as golden, Image.open(tmp_path / name) as original:
        assert golden.width * golden.height <= original.width * original.height
