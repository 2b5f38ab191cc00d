"""Data sets with images of more than 8 bits through the stages split and pack."""

import logging
from pathlib import Path

import numpy as np
import pytest

import stages.pack
import stages.split
from tests.deep import png16, tiff, write
from tests.drawn import draw, draw_classes
from tests.presets import write_preset
from vit.data.audit.findings import audit
from vit.data.audit.scan import look, scan
from vit.data.images import load_image
from vit.data.manifest import list_images
from vit.files import read_json, read_table

CLASSES = ("left", "right")


@pytest.fixture
def work(tmp_path, monkeypatch) -> Path:
    """The working directory of the stages."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def halves(most: float, low: float = 0.0, count: int = 12) -> dict[str, np.ndarray]:
    """Noisy 16x16 images by path, of which the left or the right half is bright; values from low to most."""
    random, found = np.random.default_rng(0), {}
    for label in CLASSES:
        for index in range(count):
            shares = random.uniform(0, 0.3, (16, 16))
            shares[:, :8] += 0.7 if label == "left" else 0
            shares[:, 8:] += 0.7 if label == "right" else 0
            found[f"{label}/{'abcdefghijklmnopq'[index]}"] = low + shares * (most - low)
    return found


def twelve_bits(raw: Path) -> None:
    for path, pixels in halves(4095).items():
        write(raw / f"{path}.png", png16(pixels.round().astype(np.uint16)))


def run(work: Path, **changes) -> dict:
    """Run split and pack on data/raw; what the audit found."""
    asked = {key.replace("__", "."): value for key, value in changes.items()}
    small = {"pack.image_size": [16, 16], "split.strategy": "random", "split.fail_on_leakage": False}
    write_preset(work / "params.yaml", "shapes", small | asked)
    stages.split.main()
    stages.pack.main()
    return read_json(work / "data/audit/audit.json")


def test_two_classes_of_12_bit_images_are_no_near_duplicates_of_each_other(tmp_path):
    twelve_bits(tmp_path)
    findings = audit(tmp_path, list_images(tmp_path), 0.0)
    labels = {}
    for row, group in zip(findings.rows, findings.groups.tolist(), strict=True):
        labels.setdefault(group, set()).add(row.label)
    assert all(len(found) == 1 for found in labels.values())
    assert findings.scan.thumbnails.max() > 240  # and not 7 of 255
    # As the range was assumed before, 16 bits wide, all of them look like one black picture.
    assert max(look(tmp_path / row.path).thumbnail.max() for row in findings.rows) < 16


def test_the_range_of_12_bit_images_is_shown_recorded_and_packed(work, capsys):
    twelve_bits(work / "data/raw")
    values = run(work)["values"]
    line = "images of more than 8 bits: values from 0 to 4095 become 0 to 255 (12 bits hold 99.9% of the values)\n"
    assert line in capsys.readouterr().out
    assert values["kinds"] == {"16 bits": 24} and values["range"] == [0, 4095] and values["clipped"] == 0
    assert values["rule"] == "12 bits hold 99.9% of the values" and values["found"][1] > 4000
    preprocessing = read_json(work / "data/packed/preprocessing.json")
    assert preprocessing["value_range"] == [0, 4095] and preprocessing["background"] == "white"
    page = (work / "data/audit/report.html").read_text(encoding="utf-8")
    assert "values that become 0 and 255 (12 bits hold 99.9% of the values)" in page
    for part in ("train", "val", "test"):
        packed = np.load(work / f"data/packed/{part}_images.npy")
        for image, row in zip(packed, read_table(work / f"data/splits/{part}.csv"), strict=True):
            expected = load_image(work / "data/raw" / row["path"], (16, 16), 1, "crop", value_range=[0, 4095])
            assert np.array_equal(image, expected)
    assert packed.max() > 240


@pytest.mark.parametrize("most", [255, 1023, 16383, 65535])
def test_the_depth_is_found_whatever_it_is(tmp_path, most):
    for path, pixels in halves(most).items():
        write(tmp_path / f"{path}.tif", tiff(pixels.round().astype(np.uint16), order=">"))
    assert scan(tmp_path, list_images(tmp_path)).drawn.value_range == [0, most]


def test_signed_floating_point_and_missing_values_are_read(work):
    for index, (path, pixels) in enumerate(halves(3000, -1000).items()):
        pixels[0, 0] = -9999
        dtype = ("int16", "float32", "int32")[index % 3]
        content = tiff(pixels.round().astype(dtype), compressed=index % 2 == 0, nodata="-9999")
        write(work / "data/raw" / f"{path}.tif", content)
    values = run(work)["values"]
    assert values["kinds"] == {"16 bits, signed": 8, "floating point": 8, "32 bits, signed": 8}
    low, high = values["range"]
    assert -1000 <= low < -990 and 2990 < high <= 3000 and values["missing"] == pytest.approx(1 / 256, abs=1e-6)
    assert values["found"][0] >= -1000  # what was not measured is no value
    assert np.load(work / "data/packed/train_images.npy")[:, 0, 0].max() == 0


def test_the_range_is_the_same_for_every_order_and_number_of_processes(tmp_path):
    twelve_bits(tmp_path)
    for index in range(200):
        write(tmp_path / "left" / f"{index}.png", png16(np.full((4, 4), index * 20, dtype=np.uint16)))
    rows = list_images(tmp_path)
    scans = [scan(tmp_path, rows, 1), scan(tmp_path, rows, 2), scan(tmp_path, rows[::-1], 1)]
    assert {tuple(one.drawn.value_range) for one in scans} == {(0, 4095)}
    assert [one.pixels for one in scans[0].looks] == [one.pixels for one in scans[1].looks]
    assert [one.pixels for one in scans[0].looks] == [one.pixels for one in scans[2].looks[::-1]]


def test_a_range_that_is_asked_for_is_taken_and_what_it_clips_is_said(work, caplog):
    twelve_bits(work / "data/raw")
    audit = run(work, pack__value_range=[0, 2000])
    assert audit["values"]["range"] == [0, 2000] and audit["values"]["rule"] == "set by pack.value_range"
    assert read_json(work / "data/packed/preprocessing.json")["value_range"] == [0, 2000]
    assert audit["values"]["clipped"] == pytest.approx(0.5, abs=0.02)
    assert "of the values lie outside the range 0..2000 and are clipped; set pack.value_range" in caplog.text


def test_a_range_for_images_of_8_bits_changes_nothing_and_that_is_said(work, caplog):
    draw_classes(work / "data/raw", {"cat": 12, "dog": 12})
    before = run(work)
    packed = (work / "data/packed/train_images.npy").read_bytes()
    assert before["values"] == {"kinds": {"8 bits": 24}, "range": None}
    assert not (work / "data/splits/value_range.json").exists()
    assert read_json(work / "data/packed/preprocessing.json")["value_range"] == "auto"
    run(work, pack__value_range=[0, 15])
    assert (work / "data/packed/train_images.npy").read_bytes() == packed
    assert "pack.value_range [0, 15] changes nothing: all images have 8 bits per channel" in caplog.text


def test_a_data_set_of_8_and_more_bits_is_warned_of_with_the_classes_that_bits_tell_apart(work, caplog):
    twelve_bits(work / "data/raw")
    for index in range(12):
        draw(work / "data/raw/plain" / f"{'abcdefghijkl'[index]}.png", index, 16, 16)
    audit = run(work)
    (warning,) = (text for text in audit["warnings"] if "8 bits" in text)
    assert warning.startswith(
        "12 of 36 images have 8 bits per channel and are not scaled, the others are scaled from 0"
    )
    assert warning.endswith("The bits alone reveal the class: plain have 8, left, right have more")


@pytest.mark.parametrize("mode", ["arrays", "none"])
def test_both_modes_of_pack_know_the_range(work, mode):
    twelve_bits(work / "data/raw")
    run(work, pack__mode=mode)
    preprocessing = read_json(work / "data/packed/preprocessing.json")
    assert preprocessing["value_range"] == [0, 4095] and preprocessing["mean"][0] > 0.3


def test_nothing_is_said_of_values_that_are_as_they_should_be(work, caplog):
    twelve_bits(work / "data/raw")
    with caplog.at_level(logging.WARNING, "vit"):
        run(work)
    assert "bits" not in caplog.text and "range" not in caplog.text
