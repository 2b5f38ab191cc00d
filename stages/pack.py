"""pack: decode every image once, to uint8 arrays of the training size; measure the train split's colours."""

from vit.config.files import CLASSES, PACK_MODE, PACKED, PREPROCESSING, RAW, SPLITS, VALUE_RANGE
from vit.config.params_file import load_params
from vit.data.images import SETTINGS
from vit.data.manifest import PARTS
from vit.data.pack import (
    check_space,
    in_units,
    measure_files,
    measure_packed,
    normalization,
    pack_images,
    pack_labels,
    pack_shards,
    packed_bytes,
    part_shape,
    with_value_range,
)
from vit.data.shards.store import store_at
from vit.errors import run_program
from vit.files import read_json, replacing_folder, write_json


def main() -> None:
    """Write labels, settings and, unless `pack.mode` is none, images; the old folder stays until all are complete."""
    params = load_params()
    pack = with_value_range(params.pack, SPLITS / VALUE_RANGE)
    classes = read_json(SPLITS / CLASSES)
    tables = {part: SPLITS / f"{part}.csv" for part in PARTS}
    shapes = {part: part_shape(tables[part], part, pack) for part in PARTS}
    needed = sum(packed_bytes(shape, pack) for shape in shapes.values())
    images = sum(shape[0] for shape in shapes.values())
    needs = f"{images} images will take {needed} bytes ({in_units(needed)}) in {pack.store or PACKED}"
    # Shards that an earlier packing left in a store are used again, which of them is known only later.
    print(f"{needs}; {in_units(check_space(needed, PACKED.parent))} are free" if pack.store is None else needs)

    with replacing_folder(PACKED) as folder:
        for part, table in tables.items():
            pack_labels(table, classes, folder / f"{part}_labels.npy")
            if pack.mode == "arrays":
                pack_images(RAW, table, pack, part, folder / f"{part}_images.npy")
            elif pack.mode == "shards":
                pack_shards(RAW, table, folder / f"{part}_labels.npy", pack, part, store_at(pack.store, folder), folder)
        if pack.mode == "arrays":
            statistics = normalization(pack, lambda: measure_packed(folder / "train_images.npy"))
        else:
            statistics = normalization(pack, lambda: measure_files(RAW, tables["train"], pack))
        mode = {"arrays": {}, "shards": {"store": pack.store}, "none": {"workers": pack.workers}}[pack.mode]
        settings = pack.model_dump(include=set(SETTINGS))
        write_json(folder / PREPROCESSING, {"classes": classes, **settings, **statistics})
        write_json(folder / PACK_MODE, {"mode": pack.mode, **mode})  # not in the preprocessing, which is equal in all


if __name__ == "__main__":
    run_program(main)
