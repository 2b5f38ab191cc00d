"""Serving: a ViT of the tom_and_jerry preset behind `mlflow models serve`, asked by 1, 8 and 64 clients, beside the
same model called in process and beside FastAPI with torchvision's ViT; and the bare model beside timm's.

    python -m benchmarks.serve --out benchmarks/serve.json

Weights are random and the images drawn, as JPEGs of 854x480; clients and server share the machine.
"""

import argparse
import base64
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from io import BytesIO
from itertools import product
from pathlib import Path

import numpy as np
import timm.models.vision_transformer
import torch
from PIL import Image

from benchmarks.load import Target, Timings, drive, free_port, percentiles, running
from benchmarks.rows import alternating, report, row
from vit.config.presets import load_preset
from vit.inference.classifier import Classifier, bfloat16
from vit.models.vision_transformer import VisionTransformer
from vit.registry.served import save_served

PRESETS = Path(__file__).parents[1] / "presets"
CLASSES = ["jerry", "tom", "tom_jerry_0", "tom_jerry_1"]
FASTAPI = "FastAPI + torchvision"
TOLERANCE = 0.02  # of probabilities in bfloat16
SMALL = {"embed_dim": 192, "depth": 6, "num_heads": 3, "patch_size": 4}  # 32x32, as in most ViT tutorials


@dataclass(frozen=True)
class Workload:
    """How much is measured."""

    seconds: float = 30  # of each load, and in process
    clients: tuple[int, ...] = (1, 8, 64)
    rows: tuple[int, ...] = (1, 16)  # images in a request
    rounds: int = 1  # of ours and the peer in turn
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


def medians(target: Target, peer: Target, clients: int, load: Workload) -> tuple[Timings, Timings]:
    """Ours and the peer's, asked in turn; of every figure the median of the rounds."""
    pairs = [[drive(side, clients, load.seconds) for side in (target, peer)] for _ in range(load.rounds)]
    return tuple(
        Timings(*(float(np.median([getattr(one, field.name) for one in side])) for field in fields(Timings)))
        for side in zip(*pairs, strict=True)
    )


def load_rows(case: str, clients: int, ours: Timings, peer: Timings, alone: Timings) -> list[dict]:
    """What one load came to, against FastAPI and against the model alone."""
    reached = 0.9 if clients == 8 else None
    latencies = [("p50", ours.p50, peer.p50), ("p95", ours.p95, peer.p95), ("p99", ours.p99, peer.p99)]
    return [
        row(f"{case}: answered", 100 * ours.answered, 100 * peer.answered, FASTAPI, "% of requests", 1),
        row(f"{case}: throughput", ours.throughput, alone.throughput, "in process", "images/s", reached),
        row(f"{case}: throughput", ours.throughput, peer.throughput, FASTAPI, "images/s", None),
        *(row(f"{case}: {name}", mine, other, FASTAPI, "ms", None) for name, mine, other in latencies),
    ]


def serving_rows(load: Workload) -> list[dict]:
    """Start-up, then every load."""
    with tempfile.TemporaryDirectory() as temporary:
        folder, classifier, files = Path(temporary), new_classifier(), jpegs(16, load.size)
        classifier.save(folder / "weights", classifier.model.state_dict())
        limits = {
            "max_rows": 256,
            "max_bytes": 2**25,
            "max_pixels": 10**8,
            "batch_wait_ms": 5.0,
            "precision": "float32",
        }
        save_served(folder / "vit", folder / "weights", limits)
        alone = {count: in_process(classifier, files, count, load.seconds) for count in load.rows}
        ports = free_port(), free_port()
        ours = ["mlflow", "models", "serve", "--env-manager", "local", "-m", str(folder / "vit")]
        plain = ["python", "-m", "benchmarks.plain_server", "--config", str(folder / "weights/config.json")]
        with (
            running([*ours, "--port", str(ports[0])], ports[0], "/ping", folder / "ours.log") as started,
            running([*plain, "--port", str(ports[1])], ports[1], "/docs", folder / "plain.log"),
        ):
            rows = [row("start-up until /ping answers", 1000 * started, 12_000, "what to reach", "ms", 1)]
            for count, clients in product(load.rows, load.clients):
                case = f"{clients} clients, {count} images a request"
                mine = Target(ports[0], "/invocations", requests(files, "inputs", count), count)
                peer = Target(ports[1], "/predict", requests(files, "images", count), count)
                timings = medians(mine, peer, clients, load)
                rows += load_rows(case, clients, *timings, alone[count])
                if (count, clients) == (1, 1):
                    limit = 1.5 * alone[1].p50 + 5
                    rows.append(row(f"{case}: p50", timings[0].p50, limit, "1.5 x in process + 5 ms", "ms", 1))
            return rows


def bare_rows(load: Workload) -> list[dict]:
    """Forward passes of 32x32 images in the geometry SMALL, in bfloat16 and float32, beside timm's in float32."""
    rest = {"mlp_ratio": 4.0, "qkv_bias": True, "drop_rate": 0.0, "attn_drop_rate": 0.0, "drop_path_rate": 0.0}
    plain = {"pool": "cls", "pos_embed": "learned", "norm": "layernorm"}
    peer = timm.models.vision_transformer.VisionTransformer(img_size=32, num_classes=10, **SMALL).eval()
    exact, fast = (
        VisionTransformer(image_size=[32, 32], in_chans=3, num_classes=10, **SMALL, **rest, **plain) for _ in range(2)
    )
    for ours in (exact, fast):
        ours.eval().load_state_dict(peer.state_dict())
    bfloat16.convert(fast)
    models = {"timm": (peer, torch.float32), "bfloat16": (fast, torch.bfloat16), "float32": (exact, torch.float32)}
    rows = []
    for batch, goal in ((1, 1.4), (32, 3)):
        x = torch.randn(batch, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        passes = max(1, load.passes // batch)
        speeds = alternating({name: forward(*model, x, passes) for name, model in models.items()}, max(3, load.rounds))
        case = f"the bare model, batch {batch}"
        rows += [
            row(f"{case}, bfloat16", speeds["bfloat16"], speeds["timm"], "timm, float32", "images/s", goal),
            row(f"{case}, float32", speeds["float32"], speeds["timm"], "timm, float32", "images/s", None),
        ]
    with torch.inference_mode():
        probabilities = {name: model(x.to(dtype)).float().softmax(dim=1) for name, (model, dtype) in models.items()}
    for name, tolerance in (("bfloat16", TOLERANCE), ("float32", 1e-5)):
        largest = (probabilities[name] - probabilities["timm"]).abs().max().item()
        case = f"{tolerance} over the largest difference in probability, {name}"
        rows.append(row(case, tolerance / max(largest, 1e-9), 1, "timm, float32", "times", 1))
    return rows


def forward(model: torch.nn.Module, dtype: torch.dtype, x: torch.Tensor, passes: int) -> Callable[[], float]:
    """Images per second through `model`."""
    x = x.to(dtype)

    def work() -> float:
        began = time.perf_counter()
        with torch.inference_mode():
            for _ in range(passes):
                model(x)
        return passes * len(x) / (time.perf_counter() - began)

    work()
    return work


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure serving.")
    parser.add_argument("--out", type=Path, required=True, help="where to write the rows as JSON")
    parser.add_argument("--seconds", type=float, default=Workload.seconds, help="of each load")
    parser.add_argument("--rounds", type=int, default=Workload.rounds, help="of ours and the peer in turn")
    arguments = parser.parse_args()
    load = Workload(seconds=arguments.seconds, rounds=arguments.rounds)
    report([*serving_rows(load), *bare_rows(load)], arguments.out)


if __name__ == "__main__":
    main()
