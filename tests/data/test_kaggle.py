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
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.drawn import draw_classes
from tests.local_server import Answer, serving, when_free
from tests.presets import REPO, write_preset
from vit.files import read_json

PORT = 7777
NEWEST = 5
CASES = {
    "good": {},
    "pinned": {"data.kaggle_version": 2},
    "gone": {},
    "private": {},
    "failing": {},
    "corrupted": {},
    "no-zip": {},
    "one-class": {},
}
STATUS = {"gone": 404, "private": 403, "failing": 500}
BAD = {
    "gone": "404",
    "private": "403",
    "failing": "500",
    "corrupted": "corrupted",
    "no-zip": "not a readable archive",
    "unreachable": "cannot be reached",
}


def archive(folder, counts: dict[str, int]) -> bytes:
    root = draw_classes(folder, counts)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as opened:
        opened.writestr("tom_and_jerry/ground_truth.csv", "filename,tom,jerry\n")
        for file in sorted(root.rglob("*.png")):
            opened.write(file, f"tom_and_jerry/tom_and_jerry/{file.relative_to(root)}")
    return packed.getvalue()


def kaggle(archives: dict[str, bytes]):
    """What Kaggle answers; the name of a data set says what becomes of it."""

    def answer(path: str, body: bytes) -> Answer:
        if path.startswith("/files/"):
            name = path.split("/")[2]
            content = archives.get(name, archives["good"])
            checksum = hashlib.md5(b"other" if name == "corrupted" else content).digest()
            return Answer(200, content, {"x-goog-hash": f"md5={base64.b64encode(checksum).decode()}"})
        request = json.loads(body)
        name = request["datasetSlug"]
        if name in STATUS:
            return Answer(STATUS[name], b'{"message": "no"}', {"Content-Type": "application/json"})
        if path.endswith("/GetDataset"):
            found = json.dumps({"currentVersionNumber": NEWEST}).encode()
            return Answer(200, found, {"Content-Type": "application/json"})
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
    """Every case once, two at a time: folder and finished process by name."""
    folders = {name: tmp_path_factory.mktemp(name) for name in [*CASES, "unreachable"]}
    archives = {
        "good": archive(folders["good"] / "src", {"jerry": 2, "tom": 3}),
        "no-zip": b"<html>please log in</html>",
        "one-class": archive(folders["one-class"] / "src", {"jerry": 2}),
    }
    with serving(kaggle(archives), PORT), ThreadPoolExecutor(2) as pool:
        running = {name: pool.submit(download, folders[name], name, changes) for name, changes in CASES.items()}
        done = {name: future.result() for name, future in running.items()}
    with socket.socket() as silent:  # bound but not listening: nobody else can answer there meanwhile
        silent.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        when_free(lambda: silent.bind(("127.0.0.1", PORT)))
        done["unreachable"] = download(folders["unreachable"], "unreachable", {})
    return {name: (folders[name], process) for name, process in done.items()}


@pytest.mark.parametrize(("name", "version"), [("good", str(NEWEST)), ("pinned", "2")])
def test_a_kaggle_data_set_takes_the_place_of_the_old_images(downloads, name, version):
    folder, process = downloads[name]
    assert process.returncode == 0, process.stderr
    record = read_json(folder / "data" / "raw.json")
    assert record["source"] == "kaggle"
    assert record["version"] == version
    assert record["classes"] == {"jerry": 2, "tom": 3}
    assert sorted(path.name for path in (folder / "data" / "raw").iterdir()) == ["jerry", "tom"]
    assert f"5 images in 2 classes from kaggle ({version})" in process.stdout


@pytest.mark.parametrize(("name", "fragment"), BAD.items())
def test_a_failed_download_ends_in_one_line_with_the_way_out(downloads, name, fragment):
    _, process = downloads[name]
    assert process.returncode == 1
    lines = [line for line in process.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and process.stderr.endswith(lines[0] + "\n")
    assert "Traceback" not in process.stderr + process.stdout
    for part in (f"'owner/{name}'", fragment, "data.source=folder"):
        assert part in lines[0]


@pytest.mark.parametrize("name", [*BAD, "one-class"])
def test_a_failed_download_leaves_the_old_images_and_nothing_half_made(downloads, name):
    folder, process = downloads[name]
    assert process.returncode == 1
    assert [path.relative_to(folder).as_posix() for path in sorted((folder / "data").rglob("*"))] == [
        "data/raw",
        "data/raw/old",
        "data/raw/old/000.png",
    ]


def test_a_data_set_without_classes_says_so(downloads):
    _, process = downloads["one-class"]
    assert process.returncode == 1
    assert "one class only ('jerry')" in process.stderr
    assert "Traceback" not in process.stderr


def test_the_trace_of_a_failure_is_in_the_log(downloads):
    folder, _ = downloads["gone"]
    assert "KaggleApiHTTPError" in (folder / "logs" / "vit.log").read_text(encoding="utf-8")
