"""The real Kaggle client, which KAGGLE_API_ENVIRONMENT=TEST points at port 7777 of this machine."""

import base64
import hashlib
import io
import json
import os
import socket
import subprocess
import sys
import zipfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.drawn import draw, draw_classes
from tests.local_server import Answer, serving, when_free
from tests.presets import REPO, write_preset
from vit.files import read_json

pytestmark = pytest.mark.long

PORT = 7777
NEWEST = 5
ONCE = {"data.kaggle_retries": 0}
QUICK = {"data.kaggle_timeout": 1, "data.kaggle_retries": 1}
CASES = {
    "good": {},
    "pinned": {"data.kaggle_version": 2},
    "gone": {},
    "private": {},
    "failing": {"data.kaggle_retries": 1},
    "corrupted": ONCE,
    "no-zip": {},
    "one-class": {},
    "overloaded": {},
    "silent-once": QUICK,
    "silent": QUICK,
    "stalled": QUICK,
    "cut": QUICK,
    "partial": {},
    "garbled": {},
    "unversioned": {},
    "labelled": {"data.labels": "train.csv"},
}
JSON = {"Content-Type": "application/json"}
STATUS = {"gone": [404], "private": [403], "failing": [500], "overloaded": [500, 429, 200]}
BAD = {
    "gone": "Kaggle responded with 404 for 'owner/gone'; check data.kaggle_handle and data.kaggle_version",
    "private": "Kaggle responded with 403 for 'owner/private'; check data.kaggle_handle and data.kaggle_version",
    "failing": "Kaggle responded with 500 for 'owner/failing', 2 tries; check data.kaggle_handle",
    "corrupted": "the download of 'owner/corrupted/versions/5' arrived corrupted and was deleted; run again",
    "no-zip": "the download of 'owner/no-zip/versions/5' is not a readable archive",
    "silent": "Kaggle cannot be reached for 'owner/silent' (no byte for 1 s), 2 tries; check the network",
    "garbled": "Kaggle's response about 'owner/garbled' cannot be read",
    "unversioned": "Kaggle names no version of 'owner/unversioned'; set data.kaggle_version to a number",
    "unreachable": "Kaggle cannot be reached for 'owner/unreachable' (ConnectionError); check the network",
}
ABOUT = {
    "currentVersionNumber": NEWEST,
    "title": "Tom & Jerry",
    "ownerName": "Bala Baskar",
    "licenseName": "CC0: Public Domain",
    "url": "https://www.kaggle.com/datasets/owner/good",
}


def archive(folder, counts: dict[str, int]) -> bytes:
    root = draw_classes(folder, counts)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as opened:
        opened.writestr("tom_and_jerry/ground_truth.csv", "filename,tom,jerry\n")
        for file in sorted(root.rglob("*.png")):
            opened.write(file, f"tom_and_jerry/tom_and_jerry/{file.relative_to(root)}")
    return packed.getvalue()


def labelled_archive(folder) -> bytes:
    """One folder of images and a table of labels that names them without their ending."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as opened:
        opened.writestr("train.csv", "id,breed\n0000,collie\n0001,beagle\n0002,collie\n")
        for number in range(3):
            opened.write(draw(folder / f"{number:04d}.png", seed=number), f"train/{number:04d}.png")
    return packed.getvalue()


def kaggle(archives: dict[str, bytes], asked: Counter):
    """What Kaggle answers; the name of a data set says what becomes of it. `asked` counts requests by name."""

    def file(name: str, is_first: bool) -> Answer:
        content = archives.get(name, archives["good"])
        checksum = hashlib.md5(b"other" if name == "corrupted" else content).digest()
        headers = {"x-goog-hash": f"md5={base64.b64encode(checksum).decode()}", "Accept-Ranges": "bytes"}
        if name == "cut" and is_first:
            return Answer(200, content[:200], headers | {"Content-Length": str(len(content))})
        return Answer(200, content, headers, silence=10 if name == "stalled" and is_first else 0)

    def answer(path: str, body: bytes) -> Answer:
        if path.startswith("/files/"):
            name = path.split("/")[2]
            asked[f"{name} file"] += 1
            return file(name, asked[f"{name} file"] == 1)
        request = json.loads(body)
        name = request["datasetSlug"]
        asked[name] += 1
        status = STATUS.get(name, [200])[: asked[name]][-1]
        if status != 200:
            return Answer(status, b'{"message": "no"}', JSON)
        if path.endswith("/GetDataset"):
            if name == "garbled":
                return Answer(200, b"<html>please log in</html>")
            about = ABOUT if name in ("good", "pinned") else {"currentVersionNumber": NEWEST}
            silence = 10 if name == "silent" or (name == "silent-once" and asked[name] == 1) else 0
            return Answer(200, json.dumps({} if name == "unversioned" else about).encode(), JSON, silence)
        version = request["datasetVersionNumber"]
        return Answer(302, b"", {"Location": f"http://localhost:{PORT}/files/{name}/{version}.zip"})

    return answer


def download(folder, name: str, changes: dict) -> subprocess.CompletedProcess:
    """`python -m stages.download` in a folder of its own, over older images."""
    draw_classes(folder / "data" / "raw", {"old": 1})
    write_preset(folder / "params.yaml", "tom_and_jerry", {"data.kaggle_handle": f"owner/{name}"} | changes)
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("KAGGLE", "DVC_")) and not name.lower().endswith("_proxy")
    }
    env = inherited | {
        "PYTHONPATH": str(REPO),
        "HOME": str(folder),
        "KAGGLEHUB_CACHE": str(folder / "cache"),
        "KAGGLE_API_ENVIRONMENT": "TEST",
    }
    return subprocess.run(
        [sys.executable, "-m", "stages.download"], cwd=folder, env=env, capture_output=True, text=True, timeout=120
    )


@pytest.fixture(scope="module")
def downloads(tmp_path_factory) -> dict:
    """Every case once, four at a time as most wait: by name its folder, the process and all requests by name."""
    folders = {name: tmp_path_factory.mktemp(name) for name in [*CASES, "unreachable"]}
    asked = Counter()
    archives = {
        "good": archive(folders["good"] / "src", {"jerry": 2, "tom": 3}),
        "labelled": labelled_archive(folders["labelled"] / "src"),
        "no-zip": b"<html>please log in</html>",
        "one-class": archive(folders["one-class"] / "src", {"jerry": 2}),
    }
    partial = folders["partial"] / "cache" / "datasets" / "owner" / "partial" / f"{NEWEST}.archive"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(archives["good"][:200])
    with serving(kaggle(archives, asked), PORT), ThreadPoolExecutor(4) as pool:
        running = {name: pool.submit(download, folders[name], name, changes) for name, changes in CASES.items()}
        done = {name: future.result() for name, future in running.items()}
    with socket.socket() as silent:  # bound but not listening: nobody else can answer there meanwhile
        silent.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        when_free(lambda: silent.bind(("127.0.0.1", PORT)))
        done["unreachable"] = download(folders["unreachable"], "unreachable", ONCE)
        done["cached"] = download(folders["pinned"], "pinned", CASES["pinned"] | ONCE)
    folders["cached"] = folders["pinned"]
    return {name: (folders[name], process, asked) for name, process in done.items()}


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("good", "5"),
        ("pinned", "2"),
        ("cached", "2"),
        ("overloaded", "5"),
        ("silent-once", "5"),
        ("stalled", "5"),
        ("cut", "5"),
        ("partial", "5"),
    ],
)
def test_a_kaggle_data_set_takes_the_place_of_the_old_images(downloads, name, version):
    folder, process, _ = downloads[name]
    assert process.returncode == 0, process.stderr
    record = read_json(folder / "data" / "raw.json")
    assert record["source"] == "kaggle"
    assert record["version"] == version
    assert record["classes"] == {"jerry": 2, "tom": 3}
    assert sorted(path.name for path in (folder / "data" / "raw").iterdir()) == ["jerry", "tom"]
    assert f"5 images in 2 classes from kaggle ({version})" in process.stdout
    assert "\nclasses: 'jerry' 2, 'tom' 3\n" in process.stdout
    assert (folder / "data" / "tables" / "ground_truth.csv").read_text() == "filename,tom,jerry\n"


def test_a_table_of_labels_in_a_kaggle_data_set_says_the_classes(downloads):
    folder, process, _ = downloads["labelled"]
    assert process.returncode == 0, process.stderr
    assert read_json(folder / "data" / "raw.json")["classes"] == {"beagle": 1, "collie": 2}
    assert (folder / "data" / "raw" / "beagle" / "0001.png").is_file()
    assert (folder / "data" / "tables" / "train.csv").is_file()


def test_licence_title_and_citation_are_recorded(downloads):
    record = read_json(downloads["good"][0] / "data" / "raw.json")
    assert {key: record.get(key) for key in ("title", "owner", "licence", "url", "citation")} == {
        "title": "Tom & Jerry",
        "owner": "Bala Baskar",
        "licence": "CC0: Public Domain",
        "url": "https://www.kaggle.com/datasets/owner/good",
        "citation": "Bala Baskar. Tom & Jerry. Kaggle, version 5. https://www.kaggle.com/datasets/owner/good",
    }


def test_what_kaggle_does_not_say_is_not_recorded(downloads):
    record = read_json(downloads["overloaded"][0] / "data" / "raw.json")
    assert not {"title", "owner", "licence", "url", "citation"} & record.keys()


def test_a_pinned_version_comes_from_the_cache_without_a_server_and_says_what_it_lacks(downloads):
    _, process, _ = downloads["cached"]
    assert "licence and title are not recorded: Kaggle cannot be reached for 'owner/pinned'" in process.stderr


@pytest.mark.parametrize(
    ("name", "requests"),
    [("gone", 1), ("private", 1), ("failing", 2), ("silent", 2), ("garbled", 1), ("overloaded", 4), ("stalled", 3)],
)
def test_only_what_may_pass_is_tried_again(downloads, name, requests):
    _, process, asked = downloads[name]
    assert asked[name] == requests  # one about the data set and one for its file, if all is well
    assert ("; try 2 of" in process.stderr) is (name not in ("gone", "private", "garbled"))


@pytest.mark.parametrize(
    ("name", "messages"),
    [
        (
            "overloaded",
            ["500 for 'owner/overloaded'; try 2 of 4 in 1 s", "429 for 'owner/overloaded'; try 3 of 4 in 2 s"],
        ),
        ("stalled", ["(no byte for 1 s); try 2 of 2 in 1 s"]),
    ],
)
def test_a_further_try_is_announced_with_its_reason_and_pause(downloads, name, messages):
    for message in messages:
        assert message in downloads[name][1].stderr


def test_what_an_earlier_process_downloaded_is_not_downloaded_again(downloads):
    assert "Resuming download from 200 bytes" in downloads["partial"][1].stdout


@pytest.mark.parametrize(("name", "fragment"), BAD.items())
def test_a_failed_download_ends_in_one_line_with_the_way_out(downloads, name, fragment):
    _, process, _ = downloads[name]
    assert process.returncode == 1
    lines = [line for line in process.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and process.stderr.endswith(lines[0] + "\n")
    assert "Traceback" not in process.stderr + process.stdout
    assert fragment in lines[0]
    assert "or download the data set by hand and set data.source=folder, data.path=" in lines[0]


@pytest.mark.parametrize("name", [*BAD, "one-class"])
def test_a_failed_download_leaves_the_old_images_and_nothing_half_made(downloads, name):
    folder, process, _ = downloads[name]
    assert process.returncode == 1
    assert [path.relative_to(folder).as_posix() for path in sorted((folder / "data").rglob("*"))] == [
        "data/raw",
        "data/raw/old",
        "data/raw/old/000.png",
    ]


def test_a_data_set_without_classes_says_so(downloads):
    _, process, _ = downloads["one-class"]
    assert process.returncode == 1
    assert "error: owner/one-class, version 5: " in process.stderr
    assert "one class only ('jerry')" in process.stderr
    assert "Traceback" not in process.stderr


def test_the_trace_of_a_failure_is_in_the_log(downloads):
    folder, _, _ = downloads["gone"]
    assert "KaggleApiHTTPError" in (folder / "logs" / "vit.log").read_text(encoding="utf-8")
