import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import psutil
import pytest
from PIL import Image

from tests.data.findings import draw_video
from tests.drawn import draw
from tests.presets import REPO, write_preset
from vit.data.audit.pictures import CAPTION, TILE
from vit.data.audit.scan import look
from vit.files import read_json, read_table, sha256_of

pytestmark = pytest.mark.long

AUDIT = {
    "audit.json", "report.html", "quarantine.csv", "duplicates.csv", "near_duplicates.csv", "samples.png",
    "images.csv",
}  # fmt: skip
SPLITS = {"train.csv", "val.csv", "test.csv", "classes.json"}
ENVIRONMENT = os.environ | {"PYTHONPATH": str(REPO)}


def start(folder: Path, **changes) -> subprocess.Popen:
    """`python -m stages.split` in a process group of its own, with presets/shapes.yaml changed."""
    write_preset(folder / "params.yaml", "shapes", {f"split.{key}": value for key, value in changes.items()})
    return subprocess.Popen(
        [sys.executable, "-m", "stages.split"],
        cwd=folder,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def split(folder: Path, code: int = 0, **changes) -> tuple[str, str]:
    """Standard output and standard error of the stage, which ends with `code`."""
    stage = start(folder, **changes)
    output, errors = stage.communicate(timeout=120)
    assert stage.returncode == code, errors
    return output, errors


def digests(folder: Path) -> dict[str, str]:
    return {path.name: sha256_of(path) for path in sorted(folder.iterdir())}


def with_faults(raw: Path) -> None:
    """40 cats, 30 <dogs>; one file broken, one twice, one under two labels, one misnamed, two nearly the same."""
    for index in range(40):
        draw(raw / "cat" / f"{'abcdefgh'[index // 5]}{'vwxyz'[index % 5]}.png", index, 20, 30)
    for index in range(30):
        draw(raw / "<dog> & été" / f"{'abcdef'[index // 5]}{'vwxyz'[index % 5]}.jpg", 100 + index, 20, 30)
    (raw / "cat" / "broken.png").write_bytes(b"")
    Image.open(raw / "cat" / "av.png").save(raw / "cat" / "copy.bmp")
    Image.open(raw / "cat" / "aw.png").save(raw / "<dog> & été" / "no cat.png")
    draw(raw / "cat" / "drawn.bmp", 300, 20, 30).rename(raw / "cat" / "misnamed.png")
    Image.open(raw / "<dog> & été" / "av.jpg").save(raw / "<dog> & été" / "nearly.png")
    lighter = Image.open(raw / "<dog> & été" / "av.jpg").point(lambda value: min(value + 2, 255))
    lighter.save(raw / "<dog> & été" / "again.png")


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> Path:
    """A folder in which the stage has run on images with faults of each kind."""
    folder = tmp_path_factory.mktemp("split")
    with_faults(folder / "data" / "raw")
    output, errors = split(folder, strategy="random", max_broken_fraction=0.02)
    assert "by random: set by split.strategy\nleakage: " in output and "Traceback" not in errors
    return folder


def test_the_stage_writes_exactly_its_outputs(done):
    assert set(digests(done / "data" / "audit")) - {"torn_near_duplicates.png", "torn_near_duplicates_val.png"} == AUDIT
    assert set(digests(done / "data" / "splits")) == SPLITS
    assert {path.name for path in done.iterdir()} == {"data", "metrics", "params.yaml"}
    assert {path.name for path in (done / "data").iterdir()} == {"raw", "splits", "audit"}
    assert [path.name for path in (done / "metrics").iterdir()] == ["split.json"]


def test_every_usable_image_is_in_one_table(done):
    rows = [row for part in ("train", "val", "test") for row in read_table(done / "data" / "splits" / f"{part}.csv")]
    # 40 + 30 drawn, one of them under two labels and so in none; one misnamed, one nearly the same as another (the
    # copy and the PNG of a JPEG's very pixels are left out).
    assert len(rows) == len({row["path"] for row in rows}) == 71
    assert all((done / "data" / "raw" / row["path"]).is_file() for row in rows)
    assert read_json(done / "data" / "splits" / "classes.json") == ["<dog> & été", "cat"]


def test_the_table_of_images_knows_each_by_its_bytes_and_by_its_pixels(done):
    rows = {row["path"]: row for row in read_table(done / "data" / "audit" / "images.csv")}
    for part in ("train", "val", "test"):
        listed = [row["path"] for row in read_table(done / "data" / "splits" / f"{part}.csv")]
        assert listed == [path for path, row in rows.items() if row["part"] == part]
    raw = done / "data" / "raw"
    for path, row in rows.items():
        assert row["file_sha256"] == hashlib.sha256((raw / path).read_bytes()).hexdigest()
    # The copy that was left out is another file with the same pixels: other bytes, and yet it would be known again.
    assert look(raw / "cat" / "copy.bmp").pixels == rows["cat/av.png"]["pixels_sha256"]
    assert look(raw / "cat" / "copy.bmp").file != rows["cat/av.png"]["file_sha256"]


def test_the_tables_say_what_was_left_out_and_why(done):
    (broken,) = read_table(done / "data" / "audit" / "quarantine.csv")
    assert broken["path"] == "cat/broken.png" and len(broken["reason"]) > 10
    assert read_table(done / "data" / "audit" / "duplicates.csv") == [
        {"path": "<dog> & été/nearly.png", "reason": "same pixels as", "other": "<dog> & été/av.jpg"},
        {"path": "cat/copy.bmp", "reason": "same pixels as", "other": "cat/av.png"},
        {"path": "<dog> & été/no cat.png", "reason": "same pixels under two labels", "other": ""},
        {"path": "cat/aw.png", "reason": "same pixels under two labels", "other": ""},
    ]
    pair = read_table(done / "data" / "audit" / "near_duplicates.csv")
    assert [row["path"] for row in pair] == ["<dog> & été/again.png", "<dog> & été/av.jpg"]
    assert len({row["group"] for row in pair}) == 1


def test_the_audit_counts_what_the_tables_list(done):
    audit = read_json(done / "data" / "audit" / "audit.json")
    assert audit["misnamed"] == [{"path": "cat/misnamed.png", "format": "BMP"}]
    names = ("usable_images", "quarantined", "exact_duplicates", "contradictory_labels", "near_duplicate_groups")
    assert [audit[name] for name in names] == [71, 1, 2, 2, 1]
    assert audit["images_with_near_duplicates"] == 2 and audit["left_out_at_gaps_or_by_subset"] == 0
    # cat: 40, less the one under two labels, and the misnamed one; <dog>: 30 and the lighter copy of one.
    assert {name: sum(part[name] for part in audit["classes"].values()) for name in ("cat", "<dog> & été")} == {
        "cat": 40,
        "<dog> & été": 31,
    }
    assert audit["formats"] == {"PNG": 40, "JPEG": 30, "BMP": 1}
    assert audit["sizes"] == {"30x20": 71}
    assert (audit["smallest_side"], audit["largest_side"]) == (20, 30)
    figures = read_json(done / "metrics" / "split.json")
    assert figures.items() >= audit["leakage"].items()
    assert figures.items() >= {f"val_{name}": value for name, value in audit["val_leakage"].items()}.items()
    assert set(audit["val_leakage"]) == set(audit["leakage"])
    assert figures["train_images"] + figures["val_images"] + figures["test_images"] == 71


class Balanced(HTMLParser):
    """Collects text; `open` is empty at the end if every element that needs an end has one."""

    VOID = {"meta", "img", "br", "hr"}

    def __init__(self):
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.pictures: list[str] = []

    def handle_starttag(self, tag, attributes):
        if tag not in self.VOID:
            self.open.append(tag)
        elif tag == "img":
            self.pictures.append(dict(attributes)["alt"])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_the_report_says_what_a_person_needs_in_balanced_html(done):
    page = (done / "data" / "audit" / "report.html").read_text(encoding="utf-8")
    assert "<dog>" not in page  # a class's name is no markup
    parser = Balanced()
    parser.feed(page)
    parser.close()
    assert parser.open == []
    for cell in ("<dog> & été", "cat", "random", "near duplicate share", "usable images", "71", "quarantined", "BMP"):
        assert any(cell in text for text in parser.text), cell
    assert 'src="http' not in page and "<script" not in page  # it can be sent alone
    assert parser.pictures[0] == "Samples of each class"


def test_the_contact_sheet_has_a_line_of_eight_for_each_class(done):
    with Image.open(done / "data" / "audit" / "samples.png") as sheet:
        sheet.load()
        assert (sheet.format, sheet.size) == ("PNG", (8 * TILE, 2 * (TILE + CAPTION)))
        assert len(sheet.convert("RGB").getcolors(2**24)) > 1000  # noise is in its tiles


def test_the_stage_writes_the_same_bytes_again(done):
    before = {name: digests(done / name) for name in ("data/audit", "data/splits", "metrics")}
    split(done, strategy="random", max_broken_fraction=0.02)
    assert {name: digests(done / name) for name in before} == before


def test_too_many_broken_files_stop_the_stage_in_one_line_and_are_all_in_the_log(tmp_path):
    raw = tmp_path / "data" / "raw"
    draw(raw / "cat" / "good.png")
    for name in "abcdefgh":
        (raw / "cat" / f"{name}.jpg").write_text("no picture")
    _, errors = split(tmp_path, 1, max_broken_fraction=0.5)
    (line,) = errors.splitlines()
    assert line.startswith("error: 8 of 9 images cannot be read, more than split.max_broken_fraction 0.5: cat/a.jpg")
    assert "and 3 more" in line
    log = (tmp_path / "logs" / "vit.log").read_text(encoding="utf-8")
    assert all(f"unreadable: cat/{name}.jpg: " in log for name in "abcdefgh")
    assert {path.name for path in (tmp_path / "data").iterdir()} == {"raw"}


def test_a_leak_is_warned_of_and_shown_or_ends_the_stage_if_asked_to(tmp_path):
    draw_video(tmp_path / "data" / "raw", 20, ("cat", "dog"), seed=1)
    output, errors = split(tmp_path, strategy="random")
    assert output.endswith("\nleakage: 100.0% of val, 100.0% of test\n")
    line, of_val = errors.splitlines()
    assert of_val.startswith("warning: val leaks: 100.0% of the val images have a near duplicate in train")
    assert line.startswith("warning: test leaks: 100.0% of the test images have a near duplicate in train")
    assert "Try split.strategy=auto" in line
    page = (tmp_path / "data" / "audit" / "report.html").read_text(encoding="utf-8")
    assert line.removeprefix("warning: ") in page and "Near duplicates in train and test" in page
    assert of_val.removeprefix("warning: ") in page and "Near duplicates in train and val" in page
    for name in ("torn_near_duplicates.png", "torn_near_duplicates_val.png"):
        with Image.open(tmp_path / "data" / "audit" / name) as sheet:
            sheet.load()
            assert sheet.size == (4 * TILE, 6 * (TILE + CAPTION))  # twelve pairs, two a line
    before = {name: digests(tmp_path / name) for name in ("data/audit", "data/splits", "metrics")}
    _, errors = split(tmp_path, 1, strategy="random", fail_on_leakage=True)
    (line,) = errors.splitlines()
    assert line.startswith("error: split.fail_on_leakage: test leaks: 100.0%")
    assert {name: digests(tmp_path / name) for name in before} == before
    output, errors = split(tmp_path, strategy="auto", block_size=20, gap=11, fail_on_leakage=True)
    assert "by blocks: leakage of a random split would be 100.0%" in output and "leaks" not in errors


def test_val_that_leaks_alone_is_warned_of_and_ends_the_stage_if_asked_to(tmp_path):
    # Val is every fourth frame of the video before the last stretch, which is test: near to train, as test is not.
    frames = draw_video(tmp_path / "drawn", 30, ("cat", "dog"), seed=4)
    order = sorted(path for path, _ in frames)
    numbers = {path: int(path.split("frame")[1][:-4]) for path in order}
    for path, number in numbers.items():
        part = "test" if number >= 200 else "val" if number % 4 == 0 else "train"
        label, name = path.split("/")
        target = tmp_path / "data" / "raw" / label / part / name
        target.parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "drawn" / path).rename(target)
    output, errors = split(tmp_path, strategy="folders")
    leak, differs = errors.splitlines()
    assert leak.startswith("warning: val leaks: ") and "test leaks" not in errors
    assert differs.startswith("warning: val is nearer to train than test is: leakage is ")
    figures = read_json(tmp_path / "metrics" / "split.json")
    assert figures["val_leakage"] > 0.9 and figures["leakage"] < 0.1
    _, errors = split(tmp_path, 1, strategy="folders", fail_on_leakage=True)
    assert errors.startswith("error: split.fail_on_leakage: val leaks: ") and len(errors.splitlines()) == 1
    # Without that val, one is taken from train that is as far from it as test.
    for path in (tmp_path / "data" / "raw").glob("*/val/*"):
        path.rename(path.parents[1] / "train" / path.name)
    output, errors = split(tmp_path, strategy="auto", block_size=20, gap=11, fail_on_leakage=True)
    assert (
        "; val is taken from train by blocks, as leakage of a random split would be" in output and "leaks" not in errors
    )


def orphans(folder: Path) -> list[int]:
    """Processes that still work in `folder`."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and process.cwd() == str(folder):
                found.append(process.pid)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def kill(stage: subprocess.Popen, folder: Path) -> None:
    """Kill the stage alone, as an out-of-memory killer does; its workers must end by themselves."""
    stage.kill()
    stage.wait()
    ends = time.monotonic() + 5
    while (left := orphans(folder)) and time.monotonic() < ends:
        time.sleep(0.05)
    if left:
        os.killpg(stage.pid, signal.SIGKILL)
    stage.communicate()
    assert not left


def test_a_killed_split_leaves_old_or_new_outputs_and_no_process_and_the_next_one_is_right(tmp_path):
    for index in range(520):  # enough for a pool of processes
        draw(tmp_path / "data" / "raw" / "ab"[index % 2] / f"{index:03d}.png", index, 60, 80)
    outputs = ("data/audit", "data/splits")
    split(tmp_path, seed=1)
    new = {name: digests(tmp_path / name) for name in outputs}
    split(tmp_path, seed=0)
    old = {name: digests(tmp_path / name) for name in outputs}
    assert all(old[name] != new[name] for name in outputs)

    def moments(stage: subprocess.Popen):
        """When to kill: after so many seconds, with the workers at work, and while the outputs are written."""
        began, before = time.monotonic(), identity_of("data/splits")
        yield lambda: time.monotonic() - began > 0.2
        yield lambda: len(psutil.Process(stage.pid).children()) >= 2
        yield lambda: any((tmp_path / "data").glob(".audit.*.tmp"))
        yield lambda: any((tmp_path / "data").glob(".splits.*.tmp/train.csv"))
        yield lambda: identity_of("data/splits") != before

    def identity_of(name: str) -> int | None:
        try:
            return (tmp_path / name).stat().st_ino
        except FileNotFoundError:
            return None

    def digests_of(name: str) -> dict[str, str] | None:
        return digests(tmp_path / name) if (tmp_path / name).exists() else None

    killed = 0
    for moment in range(5):
        stage = start(tmp_path, seed=1)
        try:
            reached = list(moments(stage))[moment]
            while stage.poll() is None and not reached():
                time.sleep(0.001)
        finally:
            kill(stage, tmp_path)
        killed += stage.returncode == -signal.SIGKILL
        for name in outputs:
            assert digests_of(name) in (None, old[name], new[name]), f"{name} is torn at moment {moment}"
    assert killed >= 3  # the last moments are short, and a run may end before it is caught

    split(tmp_path, seed=1)
    assert {name: digests_of(name) for name in outputs} == new
    assert orphans(tmp_path) == []
    assert json.loads((tmp_path / "metrics" / "split.json").read_text())["train_images"] == 364  # 0.7 of 520
    assert {path.name for path in (tmp_path / "data").iterdir()} == {"raw", "splits", "audit"}
    assert [path.name for path in (tmp_path / "metrics").iterdir()] == ["split.json"]
