"""Clients that ask a server as fast as it answers, and servers to ask."""

import contextlib
import http.client
import os
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PATIENCE = 120  # seconds in which a server must have started, or answered


@dataclass(frozen=True)
class Target:
    """Where to send which bodies, each of `rows` images."""

    port: int
    path: str
    bodies: list[bytes]
    rows: int


@dataclass(frozen=True)
class Timings:
    """What clients saw: images per second, percentiles of a request's latency in ms, share of requests answered 200."""

    throughput: float
    p50: float
    p95: float
    p99: float
    answered: float


def drive(target: Target, clients: int, seconds: float) -> Timings:
    """`clients` threads, each with a connection that it keeps, ask for `seconds`, after two requests to warm up."""
    latencies: list[float] = []
    answered: list[bool] = []
    warming = _connect(target)
    for number in range(2):
        _ask(warming, target, number)
    warming.close()
    began = time.perf_counter()

    def client(asked: int) -> None:
        connection = _connect(target)
        while time.perf_counter() < began + seconds:
            sent = time.perf_counter()
            answered.append(_ask(connection, target, asked))
            latencies.append(1000 * (time.perf_counter() - sent))
            asked += 1
        connection.close()

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed = time.perf_counter() - began
    return Timings(sum(answered) * target.rows / elapsed, *percentiles(latencies), sum(answered) / len(answered))


def _connect(target: Target) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", target.port, timeout=PATIENCE)


def _ask(connection: http.client.HTTPConnection, target: Target, number: int) -> bool:
    body = target.bodies[number % len(target.bodies)]
    try:
        connection.request("POST", target.path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        return answer.status == 200
    except (OSError, http.client.HTTPException):
        connection.close()  # the next request opens it anew
        return False


def percentiles(latencies: list[float]) -> tuple[float, float, float]:
    """The 50th, 95th and 99th."""
    cuts = statistics.quantiles(latencies * 2 if len(latencies) == 1 else latencies, n=100, method="inclusive")
    return cuts[49], cuts[94], cuts[98]


def free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return opened.getsockname()[1]


@contextlib.contextmanager
def running(command: list[str], port: int, page: str, log: Path, env: dict[str, str] | None = None) -> Iterator[float]:
    """Run a server until the block ends; yields the seconds after which `page` answered. Its output goes to `log`."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    began = time.perf_counter()
    with log.open("w") as output:
        server = subprocess.Popen(
            command, env=os.environ | {"PATH": path} | (env or {}), stdout=output, stderr=output, start_new_session=True
        )
    try:
        while not _answers(f"http://127.0.0.1:{port}{page}"):
            if server.poll() is not None or time.perf_counter() > began + PATIENCE:
                raise RuntimeError(f"{' '.join(command)} did not start\n{log.read_text()}")
            time.sleep(0.02)
        yield time.perf_counter() - began
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(timeout=PATIENCE)
            for _ in range(100):  # ten seconds: `mlflow` ends before its server, which still writes its log
                os.killpg(server.pid, 0)
                time.sleep(0.1)


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False
    return True
