"""Serving: a ViT of the tom_and_jerry preset behind `mlflow models serve`, asked by 1, 8 and 64 clients, beside the
same model in process, without batching, and behind FastAPI and LitServe; and the bare model beside timm's.

    python -m benchmarks.serve --out benchmarks/serve.json

All servers load the same weights and call the same preprocessing. Each is tried with several numbers of workers, the
peers also of threads, and its best are measured. Weights are random and the images drawn, as JPEGs of 854x480; clients
and servers share the machine.
"""

import argparse
import base64
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from io import BytesIO
from itertools import product
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.bare import bare_rows
from benchmarks.load import Target, Timings, drive, free_port, percentiles, running
from benchmarks.rows import report, row
from benchmarks.serve_parts import part_rows
from vit.config.presets import load_preset
from vit.inference.classifier import Classifier
from vit.registry.served import save_served

PRESETS = Path(__file__).parents[1] / "presets"
CLASSES = ["jerry", "tom", "tom_jerry_0", "tom_jerry_1"]
LIMITS = {"max_rows": 256, "max_bytes": 2**25, "max_pixels": 10**8, "batch_wait_ms": 5.0, "precision": "float32"}
OURS, UNBATCHED, FASTAPI, LITSERVE = "ours", "ours, each request alone", "FastAPI", "LitServe"
BATCHES = (1, 4, 8, 16, 32)  # images; the best of them in process is what serving is measured against


@dataclass(frozen=True)
class Workload:
    """How much is measured."""

    seconds: float = 3  # of each load in a round
    trial: float = 2  # seconds in process, and of each load of a peer's setting that is tried
    settings: tuple[int, ...] = (1, 2)  # workers, and threads of a peer
    peers: tuple[str, ...] = (FASTAPI, LITSERVE)
    loads: tuple[tuple[int, int], ...] = ((1, 1), (8, 1), (64, 1), (64, 16))  # clients, and images in a request
    rounds: int = 3  # of all servers in turn
    passes: int = 60  # of the bare model at batch 1; fewer at 32
    size: tuple[int, int] = (480, 854)  # of a JPEG, height and width in pixels


def new_classifier() -> Classifier:
    params = load_preset("tom_and_jerry", PRESETS).params
    pack = params.pack.model_dump(exclude={"mode", "workers"})
    config = pack | {"classes": CLASSES, "mean": [0.5] * 3, "std": [0.25] * 3, "model": params.model.model_dump()}
    torch.manual_seed(0)
    return Classifier.new(config | {"compute": {"attention": "math"}}, torch.device("cpu"))


def jpegs(count: int, size: tuple[int, int]) -> list[bytes]:
    """Drawn pictures with edges and areas, so that they are as large as frames of a cartoon."""
    files = []
    for seed in range(count):
        blocks = np.random.default_rng(seed).integers(0, 256, (size[0] // 32 + 1, size[1] // 32 + 1, 3), dtype=np.uint8)
        buffer = BytesIO()
        Image.fromarray(blocks).resize(size[::-1], Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
        files.append(buffer.getvalue())
    return files


def requests(files: list[bytes], field: str, rows: int) -> list[bytes]:
    """A body per file, beginning with it and going on with the files after it."""
    texts = [base64.b64encode(file).decode() for file in files]
    batches = [[texts[(first + offset) % len(texts)] for offset in range(rows)] for first in range(len(texts))]
    return [json.dumps({field: batch}).encode() for batch in batches]


def in_process(classifier: Classifier, files: list[bytes], rows: int, seconds: float) -> Timings:
    """One caller of `classify`, the next batch after the last, with as many threads as PyTorch takes by itself."""
    classifier.classify([BytesIO(file) for file in files])
    latencies, until, first = [], time.perf_counter() + seconds, 0
    while time.perf_counter() < until:
        batch = [BytesIO(files[(first + offset) % len(files)]) for offset in range(rows)]
        began = time.perf_counter()
        classifier.classify(batch)
        latencies.append(1000 * (time.perf_counter() - began))
        first += 1
    return Timings(1000 * rows * len(latencies) / sum(latencies), *percentiles(latencies), 1.0)


@dataclass(frozen=True)
class Server:
    """How to start a server of the model, and where and how it is asked."""

    name: str
    command: list[str]
    env: dict[str, str]
    page: str  # answers as soon as the model is loaded
    path: str
    field: str

    @contextmanager
    def started(self, folder: Path) -> Iterator[tuple[int, float]]:
        """Run it; yields its port and the seconds after which its page answered."""
        port = free_port()
        log = folder / f"{port}.log"
        with running([*self.command, "--port", str(port)], port, self.page, log, self.env) as seconds:
            yield port, seconds


def mlflow_server(name: str, folder: Path, workers: int = 1, **settings) -> Server:
    command = ["mlflow", "models", "serve", "--env-manager", "local", "-m", str(folder / "vit")]
    command += ["--workers", str(workers)]
    env = {"MLFLOW_PYFUNC_INFERENCE_CONFIG": json.dumps(settings)} if settings else {}
    return Server(name, command, env, "/ping", "/invocations", "inputs")


def mlflow_servers(folder: Path, load: Workload) -> dict[str, list[Server]]:
    """With and without batches, each by workers."""
    return {
        name: [mlflow_server(name, folder, workers, **settings) for workers in load.settings]
        for name, settings in ((OURS, {}), (UNBATCHED, {"batch_wait_ms": 0}))
    }


def peers(folder: Path, load: Workload) -> dict[str, list[Server]]:
    """Each by workers, and threads of a request (FastAPI) or of a worker (LitServe)."""
    model = ["--model", str(folder / "weights")]
    plain, batching = (["python", "-m", f"benchmarks.{name}", *model] for name in ("plain_server", "batching_server"))

    def server(name: str, command: list[str], **options: int) -> Server:
        given = [text for option, value in options.items() for text in (f"--{option}", str(value))]
        page = "/docs" if name == FASTAPI else "/health"
        return Server(name, [*command, *given], {}, page, "/predict", "images")

    commands = {FASTAPI: plain, LITSERVE: batching}
    return {
        name: [
            server(name, commands[name], threads=threads, workers=workers)
            for threads, workers in product(load.settings, load.settings)
        ]
        for name in load.peers
    }


def best_of(tried: list[Server], folder: Path, files: list[bytes], load: Workload) -> list[Server]:
    """The setting with the lowest latency for one client, and that with the highest throughput for eight."""
    if len(tried) == 1:
        return tried
    latencies, throughputs = [], []
    for server in tried:
        with server.started(folder) as (port, _):
            target = Target(port, server.path, requests(files, server.field, 1), 1)
            latencies.append(drive(target, 1, load.trial).p50)
            throughputs.append(drive(target, 8, load.trial).throughput)
    quickest, busiest = int(np.argmin(latencies)), int(np.argmax(throughputs))
    return [tried[number] for number in sorted({quickest, busiest})]


def measured(
    servers: list[tuple[Server, int]], files: list[bytes], clients: int, rows: int, load: Workload
) -> dict[str, Timings]:
    """Every server asked in turn: of each figure the median of the rounds; of a server's settings the faster one."""
    targets = [Target(port, one.path, requests(files, one.field, rows), rows) for one, port in servers]
    rounds = [[drive(target, clients, load.seconds) for target in targets] for _ in range(load.rounds)]
    found: dict[str, Timings] = {}
    for (server, _), timings in zip(servers, zip(*rounds, strict=True), strict=True):
        median = Timings(
            *(float(np.median([getattr(one, field.name) for one in timings])) for field in fields(Timings))
        )
        if server.name not in found or median.throughput > found[server.name].throughput:
            found[server.name] = median
    return found


def load_rows(case: str, clients: int, count: int, seen: dict[str, Timings], alone: float) -> list[dict]:
    """What one load came to, beside every other server and the best throughput in process."""
    ours, is_crowd = seen[OURS], clients > 1 and count == 1
    rows = [
        row(f"{case}: answered", 100 * ours.answered, 100, "all", "% of requests", 1),
        row(f"{case}: throughput", ours.throughput, alone, "in process", "images/s", 0.85 if is_crowd else None),
    ]
    for name, peer in seen.items():
        if name == OURS:
            continue
        is_peer = name != UNBATCHED
        throughput_goal = 1 if is_crowd or (name != LITSERVE and (clients, count) == (64, 16)) else None
        p50_goal = round(1 / 1.15, 2) if (name, clients, count) == (FASTAPI, 1, 1) else None
        rows += [
            row(f"{case}: throughput", ours.throughput, peer.throughput, name, "images/s", throughput_goal),
            row(f"{case}: p50", ours.p50, peer.p50, name, "ms", p50_goal),
            row(f"{case}: p99", ours.p99, peer.p99, name, "ms", 1 if is_crowd and is_peer else None),
        ]
    return rows


def serving_rows(load: Workload) -> list[dict]:
    """Start-up, then every load."""
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as stack:
        folder, classifier, files = Path(temporary), new_classifier(), jpegs(16, load.size)
        classifier.save(folder / "weights", classifier.model.state_dict())
        save_served(folder / "vit", folder / "weights", LIMITS)
        every = mlflow_servers(folder, load) | peers(folder, load)
        chosen = [one for tried in every.values() for one in best_of(tried, folder, files, load)]
        alone = max(in_process(classifier, files, batch, load.trial).throughput for batch in BATCHES)
        started = [(server, *stack.enter_context(server.started(folder))) for server in chosen]
        rows = [row("start-up until /ping answers", 1000 * started[0][2], 12_000, "what to reach", "ms", 1)]
        servers = [(server, port) for server, port, _ in started]
        for clients, count in load.loads:
            seen = measured(servers, files, clients, count, load)
            rows += load_rows(f"{clients} clients, {count} images a request", clients, count, seen, alone)
            if clients == count == 1:
                body = requests(files, "inputs", 1)[0]
                rows += part_rows(classifier, files[0], body, seen[OURS].p50, load.passes)
        return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure serving.")
    parser.add_argument("--out", type=Path, required=True, help="where to write the rows as JSON")
    parser.add_argument("--seconds", type=float, default=Workload.seconds, help="of each load in a round")
    parser.add_argument("--rounds", type=int, default=Workload.rounds, help="of ours and the peer in turn")
    arguments = parser.parse_args()
    load = Workload(seconds=arguments.seconds, rounds=arguments.rounds)
    report([*serving_rows(load), *bare_rows(load.passes, load.rounds)], arguments.out)


if __name__ == "__main__":
    main()
