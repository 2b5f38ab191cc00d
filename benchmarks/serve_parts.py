"""Where the time of a request with one image goes, part by part, in the code that serves it: for benchmarks.serve."""

import json
import statistics
import time
from collections.abc import Callable
from io import BytesIO

import torch

from benchmarks.rows import row
from vit.data.images import load_image, pixel_count, settings_of
from vit.inference.classifier import Classifier
from vit.inference.folding import folded
from vit.serving.batching import Batcher
from vit.serving.requests import JSON, read_request
from vit.serving.uploads import decode_base64

WHOLE = "one client: p50"


def part_rows(classifier: Classifier, file: bytes, body: bytes, p50: float, passes: int) -> list[dict]:
    """Milliseconds of each part, beside the `p50` that one client sees; what is left is HTTP and MLflow's server."""
    parts = part_times(classifier, file, body, passes)
    parts["HTTP and the rest of MLflow's server"] = p50 - sum(parts.values())
    rows = [row(f"where the time goes: {name}", spent, p50, WHOLE, "ms", None) for name, spent in parts.items()]
    image = torch.from_numpy(load_image(BytesIO(file), **settings_of(classifier.config)))[None]
    plain = milliseconds(lambda: classifier.probabilities(image), passes)
    return [*rows, row("the model, one image", parts["model"], plain, "with its batch norms", "ms", None)]


def part_times(classifier: Classifier, file: bytes, body: bytes, passes: int) -> dict[str, float]:
    """Milliseconds of each part by name."""
    fast, settings = folded(classifier), settings_of(classifier.config)
    (text,), _ = read_request(body, JSON)
    image = load_image(BytesIO(file), **settings)[None]
    batcher = Batcher(lambda images: images, wait=1.0)

    def hand_over() -> None:
        with batcher.request() as rows_of:
            rows_of(image)

    answers = fast.probabilities(torch.from_numpy(image)).tolist()
    work: dict[str, Callable[[], object]] = {
        "JSON, both ways": lambda: (read_request(body, JSON), json.dumps(answers)),
        "base64": lambda: decode_base64(0, text),
        "header, for the limit of pixels": lambda: pixel_count(BytesIO(file)),
        "decoding and resizing": lambda: load_image(BytesIO(file), **settings),
        "hand-over to the thread of batches": hand_over,
        "model": lambda: fast.probabilities(torch.from_numpy(image)),
    }
    return {name: milliseconds(call, passes) for name, call in work.items()}


def milliseconds(work: Callable[[], object], passes: int) -> float:
    """The median of `passes` calls after a first one."""
    work()
    times = []
    for _ in range(passes):
        began = time.perf_counter()
        work()
        times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times)
