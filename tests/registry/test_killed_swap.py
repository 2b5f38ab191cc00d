"""A server that follows the champion, killed in the middle of a swap as its container would be, and started again."""

import base64
import json
import os
import shutil
import signal
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.conftest import Project, documented, free_port
from tests.serving.conftest import clean_environment
from vit.files import read_json, sha256_of, write_json

pytestmark = pytest.mark.slow

COPIES = 3000  # of golden images: files that take a second to arrive, and a proof that takes several


def with_many_golden_images(folder: Path) -> None:
    golden = folder / "golden"
    recorded = read_json(golden / "probabilities.json")
    ((first, expected), *_) = recorded.items()
    for number in range(COPIES):
        shutil.copy(golden / first, golden / f"copy{number}.png")
        recorded[f"copy{number}.png"] = expected
    write_json(golden / "probabilities.json", recorded)


def files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def wait_until(what: str, holds: Callable[[], bool]) -> None:
    ends = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < ends, what
        time.sleep(0.001)


def answer(port: int, image: Path) -> tuple[str, dict[str, float]]:
    body = json.dumps({"inputs": [base64.b64encode(image.read_bytes()).decode()]}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/invocations", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as response:
        (prediction,) = json.loads(response.read())["predictions"]
    return prediction["model_version"], prediction["probabilities"]


def processes_at(port: int) -> list[psutil.Process]:
    """All that belong to the server, the one that started the others first."""
    (first,) = [one for one in psutil.Process().children() if str(port) in one.cmdline()]
    return [first, *first.children(recursive=True)]


@pytest.mark.parametrize("moment", ["while files arrive", "during the proof"])
def test_a_server_killed_in_the_middle_of_a_swap_starts_with_the_champion_and_the_registry_is_as_before(
    registry, tmp_path, moment, capsys
):
    number = registry.damaged(f"many golden images {moment}", with_many_golden_images)
    registry.point_to("1")
    port, downloads = free_port(), tmp_path / "downloads"
    downloads.mkdir()
    command = documented("MLFLOW_PYFUNC_INFERENCE_CONFIG='{\"follow").replace('n"}', 'n", "follow_seconds": 0.5}')
    command, url = f"env {command} --port {port}", f"http://127.0.0.1:{port}/ping"
    project = Project(registry.folder, clean_environment() | {"TMPDIR": str(downloads)})
    published = [sha256_of(file) for file in files_in(registry.files(number))]

    def arrived() -> int:
        return len(list(downloads.glob("*/**/copy*.png")))

    with project.running(command, url):
        assert answer(port, registry.image) == ("1", near(registry.right("1")))
        registry.point_to(number)
        if moment == "while files arrive":
            wait_until("no file arrives", lambda: arrived() > 0)
        else:
            wait_until("files do not arrive", lambda: arrived() == COPIES)
            assert answer(port, registry.image) == ("1", near(registry.right("1")))
        processes = processes_at(port)
        for process in processes:
            os.kill(process.pid, signal.SIGSTOP)  # to look at the moment before the end
        there = arrived()
        for process in processes:
            os.kill(process.pid, signal.SIGKILL)
        assert "is served from now on" not in project.read("logs/server.txt")
        assert (there == COPIES) is (moment == "during the proof")

    aliases = registry.client.get_registered_model("vit").aliases
    assert str(aliases["champion"]) == number
    assert [sha256_of(file) for file in files_in(registry.files(number))] == published
    began = time.monotonic()
    with project.running(command, url):
        assert answer(port, registry.image) == (number, near(registry.right(number)))
        seconds = time.monotonic() - began
        registry.point_to("1")
        wait_until("it does not roll back", lambda: answer(port, registry.image) == ("1", near(registry.right("1"))))
    with capsys.disabled():
        print(f"\nkilled {moment}: {there} of {COPIES} files there; first answer {seconds:.1f} s after the restart")


def near(probabilities: dict[str, float]):
    return pytest.approx(probabilities, abs=1e-5)
