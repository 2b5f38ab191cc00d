"""A real server under load while the champion moves, breaks, and its registry goes away; prints a table of swaps."""

import base64
import http.client
import json
import statistics
import threading
import time
from dataclasses import dataclass

import psutil
import pytest

from tests.conftest import Project, documented, free_port
from tests.serving.conftest import clean_environment
from vit.inference.classifier import Classifier

pytestmark = pytest.mark.slow

CLIENTS, IMAGES = 8, 6
BEFORE, EVERY, AWAY = 10, 6, 10  # seconds
POLL = 1.0  # seconds
WINDOW = 3.0  # seconds after an event that count as during it


@dataclass(frozen=True)
class Asked:
    """A request: when it was sent, how long it took, and what came back; no version if it failed."""

    at: float
    seconds: float
    image: int
    version: str
    probabilities: dict[str, float]


def clients_ask(port: int, bodies: list[bytes], ended: threading.Event, asked: list[Asked]) -> list[threading.Thread]:
    def client(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        while not ended.is_set():
            number = (number + 1) % len(bodies)
            sent, version, probabilities = time.monotonic(), "", {}
            try:
                connection.request("POST", "/invocations", bodies[number], {"Content-Type": "application/json"})
                answer = connection.getresponse()
                body = json.loads(answer.read())
                if answer.status == 200:
                    version = body["predictions"][0]["model_version"]
                    probabilities = body["predictions"][0]["probabilities"]
            except (OSError, http.client.HTTPException):
                connection.close()
            asked.append(Asked(sent, time.monotonic() - sent, number, version, probabilities))

    threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    return threads


def p99(asked: list[Asked]) -> float:
    """In milliseconds."""
    return 1000 * statistics.quantiles([one.seconds for one in asked], n=100, method="inclusive")[98]


def memory() -> float:
    """Of the server's process, in MB."""
    processes = psutil.Process().children(recursive=True)
    (server,) = [one for one in processes if one.name() == "uvicorn" or "uvicorn" in " ".join(one.cmdline()[:2])]
    return server.memory_info().rss / 1e6


def test_no_request_fails_or_is_answered_by_a_mixture_while_the_champion_moves(registry, capsys):
    def without_weights(folder):
        (folder / "artifacts/model/model.safetensors").unlink()

    def cut(folder):
        weights = folder / "artifacts/model/model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-100])

    broken, missing = registry.damaged("weights cut live", cut), registry.damaged("weights gone live", without_weights)
    registry.point_to("1")
    files = sorted((registry.folder / "raw0").rglob("*.png"))[:: 160 // IMAGES][:IMAGES]
    bodies = [json.dumps({"inputs": [base64.b64encode(file.read_bytes()).decode()]}).encode() for file in files]
    right = {
        number: [
            one["probabilities"] for one in Classifier.load(registry.files(number) / "artifacts/model").classify(files)
        ]
        for number in ("1", "2")
    }
    port, database = free_port(), registry.folder / "mlflow.db"
    following = documented("MLFLOW_PYFUNC_INFERENCE_CONFIG='{\"follow").replace(
        'n"}', f'n", "follow_seconds": {POLL}}}'
    )
    project = Project(registry.folder, clean_environment())
    events: list[tuple[float, str]] = []
    asked: list[Asked] = []

    def event(name: str, act) -> None:
        events.append((time.monotonic(), name))
        act()
        time.sleep(EVERY)

    with project.running(f"env {following} --port {port}", f"http://127.0.0.1:{port}/ping"):
        ended = threading.Event()
        threads = clients_ask(port, bodies, ended, asked)
        try:
            time.sleep(EVERY)  # to warm up
            began = time.monotonic()
            time.sleep(BEFORE)
            memory_before = memory()
            event("to version 2", lambda: registry.point_to("2"))
            event("back to version 1", lambda: registry.point_to("1"))
            event("to one with cut weights", lambda: registry.point_to(broken))
            event("to version 2", lambda: registry.point_to("2"))
            event("to one without weights", lambda: registry.point_to(missing))
            event("to version 1", lambda: registry.point_to("1"))
            event("registry away", lambda: database.rename(database.with_suffix(".away")))
            time.sleep(AWAY - EVERY)
            event("registry back", lambda: database.with_suffix(".away").rename(database))
            event("to version 2", lambda: registry.point_to("2"))
            memory_after = memory()
        finally:
            ended.set()
            for thread in threads:
                thread.join()
    log = project.read("logs/server.txt")

    failed = [one for one in asked if not one.version]
    mixed = [one for one in asked if one.version and one.probabilities != near(right[one.version][one.image])]
    lines, worst = swap_table(asked, began, events)
    lines.append(f"{len(asked)} requests, {len(failed)} failed, {len(mixed)} mixed")
    lines.append(f"memory {memory_before:.0f} MB before, {memory_after:.0f} MB after")
    with capsys.disabled():
        print("\n" + "\n".join(lines))

    assert not failed and not mixed
    assert log.count("is served from now on") == 5
    assert log.count(f"version {broken} is refused") == log.count(f"version {missing} is refused") == 1
    assert log.count("cannot be read") == 1 and not database.with_suffix(".away").exists()
    assert memory_after < 1.1 * memory_before
    assert worst < 10  # twice is the goal, on a machine that does nothing else


def swap_table(asked: list[Asked], began: float, events: list[tuple[float, str]]) -> tuple[list[str], float]:
    """A line for each event, and the largest p99 during one over that between `began` and the first."""
    calm = [one for one in asked if began <= one.at < events[0][0]]
    before, worst = p99(calm), 0.0
    lines = [f"{'event':<26}{'requests':>9}{'p99 ms':>8}{'ratio':>7}  versions that answered"]
    lines.append(f"{'before':<26}{len(calm):>9}{before:>8.1f}{1:>7.2f}  1")
    for at, name in events:
        during = [one for one in asked if at <= one.at < at + WINDOW]
        ratio = p99(during) / before
        worst = max(worst, ratio)
        seen = ", ".join(dict.fromkeys(one.version for one in sorted(during, key=lambda one: one.at)))
        lines.append(f"{name:<26}{len(during):>9}{p99(during):>8.1f}{ratio:>7.2f}  {seen}")
    return lines, worst


def near(probabilities: dict[str, float]):
    return pytest.approx(probabilities, abs=1e-5)
