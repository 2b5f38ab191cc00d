"""Split and pack by the workers of a Dask scheduler, against as many processes that the stage itself starts.

    python -m benchmarks.engine --out benchmarks/engine.json

Both run on this machine, so what differs is what the engine costs; that their outputs are equal is checked.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from multiprocessing import Pool
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

from benchmarks.nodes import REPO, cluster, cpu_seconds
from benchmarks.rows import report, row
from vit.config.presets import load_preset
from vit.files import sha256_of, write_json

PROCESSES = 2
CLASSES = 4
GRID = 24  # random colours along a side, which are enlarged smoothly
SIZES = {"small": (32, 32), "large": (480, 640)}  # height and width in pixels
PACKED = {"small": [32, 32], "large": [224, 224]}
ROUNDS = 3
STAGES = {"split": "", "pack": "arrays", "pack, shards": "shards"}


def draw(folder: Path, images: int, size: tuple[int, int]) -> None:
    """Fill `folder/data/raw` with JPEGs of unrelated pictures of `size`, and write the split's parameters."""
    (folder / "data/tables").mkdir(parents=True)
    for label in range(CLASSES):
        (folder / f"data/raw/class{label}").mkdir(parents=True)
    with Pool(PROCESSES) as pool:
        pool.map(partial(_draw, folder=folder / "data/raw", size=size), range(images), chunksize=64)


def _draw(index: int, folder: Path, size: tuple[int, int]) -> None:
    colours = np.random.default_rng(index).integers(0, 256, (GRID, GRID, 3), dtype=np.uint8)
    picture = Image.fromarray(colours).resize(size[::-1], Image.Resampling.BICUBIC)
    picture.save(folder / f"class{index % CLASSES}" / f"{index:06d}.jpg", quality=90)


def run_stage(name: str, folder: Path, packed: list[int], engine: str | None = None, **more) -> subprocess.Popen:
    """Start one of STAGES in `folder`, on the workers of `engine` or in PROCESSES of its own."""
    params = load_preset("digits", REPO / "presets").params.model_dump(mode="json", by_alias=True)
    params["split"]["strategy"] = "random"
    params["pack"] |= {"image_size": packed, "channels": 3, "workers": PROCESSES}
    params["pack"]["mode"] = STAGES[name] or "arrays"
    write_json(folder / "params.yaml", params)  # JSON is YAML, too
    env = {key: value for key, value in os.environ.items() if key not in ("VIT_ENGINE", "DVC_ROOT")}
    env |= {"PYTHONPATH": str(REPO)} | ({"VIT_ENGINE": engine} if engine else {})
    command = [sys.executable, "-m", f"stages.{name.split(',')[0]}"]
    return subprocess.Popen(
        command, cwd=folder, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **more
    )


def seconds(
    name: str, folder: Path, packed: list[int], engine: str | None = None, nodes: Sequence[subprocess.Popen] = ()
) -> tuple[float, float]:
    """Run a stage to its end: seconds by the clock, and seconds of CPU with those of scheduler and nodes."""
    began, before = time.perf_counter(), cpu_seconds(nodes)
    program = run_stage(name, folder, packed, engine)
    assert program.stdout is not None
    output = program.stdout.read()
    _, status, used = os.wait4(program.pid, 0)
    program.returncode = os.waitstatus_to_exitcode(status)
    if program.returncode:
        raise SystemExit(f"{name} failed:\n{output}")
    wall = time.perf_counter() - began
    return wall, used.ru_utime + used.ru_stime + cpu_seconds(nodes) - before


def outputs(folder: Path) -> dict[str, str]:
    """The digest of every file that the stages wrote."""
    written = [path for path in sorted((folder / "data").rglob("*")) if path.is_file() and "raw" not in path.parts]
    return {str(path.relative_to(folder)): sha256_of(path) for path in written}


def measured(size: str, images: int, rounds: int, scratch: Path) -> list[dict]:
    """Two rows for each stage: by the clock, and of CPU."""
    rows = []
    with tempfile.TemporaryDirectory(dir=scratch) as temporary:
        folder = Path(temporary)
        draw(folder, images, SIZES[size])
        with cluster(folder / "nodes", PROCESSES) as (address, nodes):
            for name in STAGES:
                took: dict[str | None, list[tuple[float, float]]] = {address: [], None: []}
                found = {}
                for _ in range(rounds):
                    for engine in took:  # in turn, so that whatever disturbs the machine disturbs both
                        took[engine].append(seconds(name, folder, PACKED[size], engine, nodes))
                        found[engine] = outputs(folder)
                assert found[address] == found[None], name
                case = f"{name}, {images:,} JPEGs of {SIZES[size][1]}x{SIZES[size][0]} pixels"
                for unit, place in (("seconds", 0), ("seconds of CPU", 1)):
                    ours, peer = (median(one[place] for one in took[engine]) for engine in took)
                    rows.append(row(case, ours, peer, "this machine's processes", unit, None))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--images", type=int, nargs=2, default=(4_000, 2_000), help="small and large ones")
    parser.add_argument("--scratch", type=Path, default=None, help="a folder with room for them")
    arguments = parser.parse_args()
    counts = zip(SIZES, arguments.images, strict=True)
    report([one for size, images in counts for one in measured(size, images, ROUNDS, arguments.scratch)], arguments.out)


if __name__ == "__main__":
    main()
