"""Drawn images packed as arrays and as shards, as the stage packs them."""

from pathlib import Path

from tests.data.test_pack import CLASSES, drawn_rows
from tests.presets import preset
from vit.data.batches import Packed
from vit.data.decoded import load_part
from vit.data.pack import pack_images, pack_labels, pack_shards
from vit.data.shards.store import store_at
from vit.data.shards.streamed import Streamed
from vit.files import write_json, write_table

SHARD_MB = 0.03  # nine images of 10 x 10 pixels, of which each takes four blocks of 512 bytes


def arrays_and_shards(folder: Path, count: int, store: str | None = None, part: str = "train") -> Packed:
    """Packs `count` drawn images both ways; returns the arrays. The shards are described in `folder / "shards"`."""
    rows = drawn_rows(folder / "raw", count)
    write_table(folder / "splits" / f"{part}.csv", [row._asdict() for row in rows])
    for mode in ("arrays", "shards"):
        repack(folder, mode, store, part)
    return load_part(folder / "arrays", part, folder / "raw", folder / "splits")


def repack(folder: Path, mode: str = "shards", store: str | None = None, part: str = "train", workers: int = 1) -> None:
    changes = {"pack.mode": mode, "pack.margin": 0.25, "pack.workers": workers}
    if mode == "shards":
        changes |= {"pack.shard_mb": SHARD_MB, "pack.store": store}
    pack = preset(folder, "shapes", changes).pack
    raw, table, packed = folder / "raw", folder / "splits" / f"{part}.csv", folder / mode
    packed.mkdir(exist_ok=True)
    labels = packed / f"{part}_labels.npy"
    pack_labels(table, CLASSES, labels)
    if mode == "arrays":
        pack_images(raw, table, pack, part, packed / f"{part}_images.npy")
    else:
        pack_shards(raw, table, labels, pack, part, store_at(store, packed), packed)
    write_json(packed / "mode.json", {"mode": mode, "store": store})


def streamed(folder: Path, cached: int | None = None, processes: int = 1, part: str = "train") -> Streamed:
    """The shards, with a cache for `cached` of them in each process."""
    largest = 20_480  # bytes, two of tar's records
    size = None if cached is None else float(cached * processes * largest)
    loaded = load_part(folder / "shards", part, folder / "raw", folder / "splits", size, processes)
    assert isinstance(loaded, Streamed) and loaded.index.layout.largest == largest
    return loaded


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
