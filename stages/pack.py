"""pack: decode every image once, to uint8 arrays of the training size, and measure the train part's colours."""

from pathlib import Path

import numpy as np

from vit.data.manifest import PARTS, read_rows
from vit.data.pack import channel_statistics, pack_part
from vit.errors import run_program
from vit.files import read_json, write_json
from vit.params import load_params

SPLITS = Path("data/splits")
PACKED = Path("data/packed")


def main() -> None:
    params = load_params()
    classes = read_json(SPLITS / "classes.json")
    for part in PARTS:
        rows = read_rows(SPLITS / f"{part}.csv")
        images, labels = PACKED / f"{part}_images.npy", PACKED / f"{part}_labels.npy"
        pack_part(Path("data/raw"), rows, classes, params.pack, images, labels)
        print(f"{images}: {len(rows)} images, {images.stat().st_size / 1e6:.1f} MB")
    statistics = channel_statistics(np.load(PACKED / "train_images.npy", mmap_mode="r"))
    pack = params.pack
    preprocessing = {"image_size": pack.image_size, "channels": pack.channels, "fit": pack.fit, **statistics}
    write_json(PACKED / "preprocessing.json", {"classes": classes, **preprocessing})


if __name__ == "__main__":
    run_program(main)
