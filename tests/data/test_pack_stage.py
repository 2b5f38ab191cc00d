"""The pack stage as its own program: what it costs, what a kill leaves, what it refuses."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.conftest import REPO
from tests.drawn import draw
from tests.presets import write_preset
from vit.files import read_json, sha256_of, write_json, write_table

pytestmark = pytest.mark.long

IMAGES = 3000
CLASSES = ["cat", "dog"]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> Path:
    """A few thousand small images, split into 2,900 for train and 50 each for val and test."""
    folder = tmp_path_factory.mktemp("drawn")
    rows = []
    for index in range(IMAGES):
        name = f"{CLASSES[index % 2]}/{index:04d}.png"
        draw(folder / "data" / "raw" / name, seed=index)
        rows.append({"path": name, "label": CLASSES[index % 2], "group": name})
    for part, members in (("train", rows[100:]), ("val", rows[:50]), ("test", rows[50:100])):
        write_table(folder / "data" / "splits" / f"{part}.csv", members)
    write_json(folder / "data" / "splits" / "classes.json", CLASSES)
    return folder


@pytest.fixture
def workplace(drawn) -> Path:
    """The drawn folder without anything packed."""
    yield drawn
    for path in (drawn / "data").glob("*packed*"):
        shutil.rmtree(path)


def start(folder: Path, **pack) -> subprocess.Popen:
    settings = {"image_size": [16, 24], "channels": 3, "workers": 2} | pack
    write_preset(folder / "params.yaml", "shapes", {f"pack.{key}": value for key, value in settings.items()})
    environment = {key: value for key, value in os.environ.items() if key != "DVC_ROOT"} | {"PYTHONPATH": str(REPO)}
    return subprocess.Popen(
        [sys.executable, "-m", "stages.pack"],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def pack(folder: Path, **settings) -> str:
    program = start(folder, **settings)
    output, errors = program.communicate(timeout=60)
    assert program.returncode == 0, errors
    return output


def contents(folder: Path) -> dict[str, str]:
    return {path.name: sha256_of(path) for path in sorted(folder.iterdir())}


def test_all_processes_together_stay_below_500_mb_while_they_pack_more_than_that(workplace):
    program = start(workplace, image_size=[256, 256])
    peak = 0
    while program.poll() is None:
        total = 0
        for process in [psutil.Process(program.pid), *psutil.Process(program.pid).children(recursive=True)]:
            try:
                total += process.memory_info().rss
            except psutil.NoSuchProcess:
                continue
        peak = max(peak, total)
        time.sleep(0.01)
    assert program.returncode == 0, program.communicate()[1]
    assert (workplace / "data/packed/train_images.npy").stat().st_size > 500e6
    assert 20e6 < peak < 500e6


def test_a_kill_at_any_moment_leaves_the_old_folder_whole_and_no_process(workplace):
    pack(workplace, image_size=[8, 8])
    packed = workplace / "data" / "packed"
    before = contents(packed)
    for moment in ("begun", "some images", "nearly all images"):
        program = start(workplace)
        new = packed.with_name(f".packed.{program.pid}.tmp")
        wait_until(program, lambda new=new, moment=moment: reached(new, moment))
        workers = psutil.Process(program.pid).children(recursive=True)
        program.send_signal(signal.SIGKILL)
        program.communicate()
        assert program.returncode == -signal.SIGKILL
        assert new.exists() and contents(packed) == before, moment
        assert psutil.wait_procs(workers, timeout=10)[1] == [], moment

    pack(workplace)
    assert sorted(path.name for path in packed.parent.iterdir()) == ["packed", "raw", "splits"]
    after = contents(packed)
    shutil.rmtree(packed)
    pack(workplace, workers=1)
    assert contents(packed) == after != before


def reached(folder: Path, moment: str) -> bool:
    """Whether a packing that writes to `folder` has come so far, by what is filled of the train images' file."""
    if moment == "begun":
        return folder.exists()
    filled = sum(path.stat().st_blocks * 512 for path in folder.glob(".train_images.npy.*"))
    return filled > {"some images": 0.2, "nearly all images": 0.8}[moment] * (IMAGES - 100) * 16 * 24 * 3


def wait_until(program: subprocess.Popen, condition) -> None:
    while not condition():
        assert program.poll() is None, program.communicate()
        time.sleep(0.001)


def test_both_modes_leave_the_same_labels_and_settings_and_only_one_leaves_images(workplace):
    packed = workplace / "data" / "packed"
    output = pack(workplace, margin=0.25, trim_bars=True)
    arrays = contents(packed)
    assert "3000 images will take 5359200 bytes (5.4 MB) in data/packed" in output  # 2,900 of 20 x 30, 100 of 16 x 24
    assert np.load(packed / "train_images.npy", mmap_mode="r").shape == (2900, 20, 30, 3)
    assert np.load(packed / "test_images.npy", mmap_mode="r").shape == (50, 16, 24, 3)
    assert read_json(packed / "mode.json") == {"mode": "arrays"}
    assert sum(path.stat().st_size for path in packed.glob("*.npy")) == 5_359_200 + 6 * 128  # a header each

    assert "3000 images will take 24000 bytes" in pack(workplace, margin=0.25, trim_bars=True, mode="none")
    decoded = contents(packed)
    assert read_json(packed / "mode.json") == {"mode": "none", "workers": 2}
    assert arrays.keys() - decoded.keys() == {f"{part}_images.npy" for part in ("train", "val", "test")}
    assert {name for name in decoded if decoded[name] != arrays[name]} == {"mode.json"}
    settings = read_json(packed / "preprocessing.json")
    assert (settings["margin"], settings["trim_bars"], settings["image_size"]) == (0.25, True, [16, 24])


@pytest.mark.parametrize("workers", [1, 2])
def test_an_unreadable_image_ends_the_stage_with_one_line_and_the_old_folder(workplace, workers):
    pack(workplace, image_size=[8, 8])
    before = contents(workplace / "data/packed")
    broken = workplace / "data/raw/cat/1500.png"
    whole = broken.read_bytes()
    broken.write_bytes(whole[: len(whole) // 2])
    try:
        program = start(workplace, workers=workers)
        _, errors = program.communicate(timeout=60)
    finally:
        broken.write_bytes(whole)
    assert program.returncode == 1
    assert errors.count("\n") == 1 and errors.startswith("error: data/raw/cat/1500.png: broken image")
    assert contents(workplace / "data/packed") == before
    assert not list((workplace / "data").glob(".packed*"))


def test_a_data_set_larger_than_the_disk_is_refused_before_anything_is_written(workplace):
    program = start(workplace, image_size=[1_000_000, 1_000_000])
    _, errors = program.communicate(timeout=60)
    assert program.returncode == 1 and errors.count("\n") == 1
    assert "9000000000024000 bytes" in errors and "pack.image_size" in errors and "pack.mode" in errors
    assert not list((workplace / "data").glob("*packed*"))
