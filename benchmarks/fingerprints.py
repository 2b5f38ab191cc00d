"""What split does after decoding, on generated fingerprints: for more images than one likes to store as files.

python -m benchmarks.fingerprints --images 1000000 --scratch /tmp
"""

import argparse
import resource
import time
from pathlib import Path

import numpy as np

from vit.config.presets import load_preset
from vit.data.alternatives import alternatives
from vit.data.audit.duplicates import exact_duplicates, near_duplicate_groups
from vit.data.audit.findings import Findings
from vit.data.audit.frames import frame_numbers
from vit.data.audit.leakage import measure
from vit.data.audit.report import summarize
from vit.data.audit.scan import HASH_ROWS, Scan
from vit.data.audit.table import FACTS, THUMBNAIL, WORDS, Looks, Packed, quarters_of
from vit.data.audit.torn import torn_pairs
from vit.data.manifest import Row
from vit.data.split import assign
from vit.data.strategy import choose_strategy

AT_A_TIME = 3000  # images
GRID = 6  # random colours along each side, with smooth transitions
SCENE, SHARED, CLASSES = 3, 5, 10  # one of five scenes is shown by three images, as in tiny_images.py


def _enlarging(size: int) -> np.ndarray:
    """The matrix (size, GRID) of linear interpolation."""
    places = np.linspace(0, GRID - 1, size)
    return np.maximum(0, 1 - np.abs(places[:, None] - np.arange(GRID))).astype(np.float32)


def fingerprints(first: int, count: int) -> Packed:
    """Looks of random smooth pictures, a third of which repeat a scene a level or two brighter."""
    index = np.arange(first, first + count)
    scene = np.where(index // SCENE % SHARED == 0, index - index % SCENE, index)
    random = np.random.default_rng(first)
    coarse = random.integers(10, 240, (count, GRID, GRID, 3), dtype=np.uint8)[scene - first].astype(np.float32)
    coarse += (index - scene)[:, None, None, None]
    colours = coarse.transpose(0, 3, 1, 2)
    wide = _enlarging(THUMBNAIL)
    thumbnails = np.ascontiguousarray((wide @ colours @ wide.T).transpose(0, 2, 3, 1).astype(np.uint8))
    grey = _enlarging(HASH_ROWS) @ colours.mean(axis=1) @ _enlarging(HASH_ROWS + 1).T
    bits = np.packbits((grey[:, :, 1:] > grey[:, :, :-1]).reshape(count, -1), axis=1)
    facts = np.zeros(count, FACTS)
    facts["width"] = facts["height"] = 32
    facts["contrast"] = 50
    facts["dhash"] = bits.view(">u8").ravel()
    facts["pixels"] = facts["file"] = random.integers(0, 256, (count, 32), dtype=np.uint8)
    facts["quarters"] = quarters_of(thumbnails)
    for number, name in enumerate(WORDS):
        facts[name] = number
    return Packed(facts, thumbnails.reshape(count, -1), ["JPEG", "8 bits", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what split does after decoding.")
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--scratch", type=Path, default=Path("/tmp"), help="where the thumbnails lie meanwhile")
    images, scratch = (arguments := parser.parse_args()).images, arguments.scratch
    looks, rows = Looks.empty(images, scratch), []
    for first in range(0, images, AT_A_TIME):
        count = min(AT_A_TIME, images - first)
        looks.fill(np.arange(first, first + count), fingerprints(first, count))
    for index in range(images):
        name = "".join(chr(ord("a") + int(digit, 16)) for digit in f"{index * 2_654_435_761 % 2**32:08x}")
        path = f"class{index // SCENE // SHARED % CLASSES}/{name}.jpg"
        rows.append(Row(path, path.split("/")[0], path))
    seen = Scan(rows, looks, [])
    split = load_preset("digits").params.split.model_copy(update={"strategy": "auto"})

    def told(what: str, work):
        wall, cpu = time.perf_counter(), time.process_time()
        result = work()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
        cost = f"{time.process_time() - cpu:8.2f} s CPU {time.perf_counter() - wall:8.2f} s wall {peak:8.0f} MB so far"
        print(f"{images:,} {what:24} {cost}", flush=True)
        return result

    began = time.process_time()
    duplicates = told("exact duplicates", lambda: exact_duplicates(seen))
    frames = told("frame numbers", lambda: frame_numbers(rows))
    groups = told("near duplicates", lambda: near_duplicate_groups(seen, frames))
    findings = Findings(seen.only(duplicates.keep), frames, groups, [], [], [])
    strategy, reason = told("strategy", lambda: choose_strategy(findings, split))
    others = told("alternatives", lambda: alternatives(findings, split))
    parts = told("split", lambda: assign(strategy, findings, split, Path()))
    leakage = told("leakage", lambda: measure(findings, parts))
    summary = told("summary", lambda: summarize(findings, parts, leakage, strategy, reason, []) | others)
    told("torn pairs", lambda: torn_pairs(findings, parts, "test"))
    planted = sum(1 for scene in range(images // SCENE) if scene % SHARED == 0)
    print(f"{strategy}: {reason}; groups {summary['near_duplicate_groups']} of {planted} planted")
    print(f"{images:,} all {1000 * (time.process_time() - began) / images:.3f} ms CPU an image")


if __name__ == "__main__":
    main()
