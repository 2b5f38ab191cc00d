"""Training on 8 to 512 GPUs on paper: from a step measured on one, the bytes of the gradients, and a stated network."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from benchmarks.rows import row

GPUS = (8, 16, 64, 256, 512)
IMAGENET = 1_281_167  # train images of ImageNet-1k


@dataclass(frozen=True)
class Network:
    """Bytes per second that each GPU sends within a node and between nodes, and seconds for a message to arrive."""

    gpus_per_node: int = 8
    within: float = 300e9
    between: float = 25e9
    latency: float = 10e-6


@dataclass(frozen=True)
class Training:
    """Milliseconds of a step on one GPU, its images, million parameters, and whether the step was measured."""

    name: str
    step: float
    images: int
    parameters: float
    is_measured: bool = True


# Steps with augmentation on an H100 (docs/results/training-speed.md). ViT-B/16 is what 40 % of the peak measured there,
# 774 TFLOP/s, would give at 3 x 35.1 GFLOP an image.
TRAININGS = (
    Training("ViT-Ti/16, recorded as a CUDA graph", 16.5, 128, 5.72),
    Training("ViT-Ti/16, kernels launched one by one", 53, 128, 5.72),
    Training("ViT-B/16, 40 % of the peak", 128 * 3 * 35.1 / (0.4 * 774), 128, 86.6, is_measured=False),
)
BACKWARD = 2 / 3  # of a step, during which gradients of upper layers can travel already


def all_reduce(gigabytes: float, gpus: int, network: Network) -> float:
    """Milliseconds to sum gradients over all GPUs, by a ring or by a tree, whichever is faster.

    A ring sends 2 (n - 1) / n of the bytes in 2 (n - 1) messages one after another (Patarasuk and Yuan 2009); a double
    binary tree sends all bytes up and down in 2 log2(n) messages (Sanders et al. 2009; NCCL since 2.4).
    """
    speed = (network.within if gpus <= network.gpus_per_node else network.between) / 1e9
    ring = 2 * (gpus - 1) / gpus * gigabytes / speed + 2 * (gpus - 1) * network.latency
    tree = 2 * gigabytes / speed + 2 * math.log2(gpus) * network.latency
    return 1000 * min(ring, tree)


def paper_rows(trainings: Iterable[Training], gpus: Iterable[int], network: Network) -> list[dict]:
    """Weak scaling: the step on so many GPUs beside that on one, which is the ratio; float32 gradients.

    `overlapped` is the step if gradients travel during the backward pass, as DDP sends them; the step of the row waits
    for all of them at its end, the worst case. `steps_per_epoch` are of ImageNet's train images.
    """
    rows = []
    for training in trainings:
        for count in gpus:
            exchange = all_reduce(4e-3 * training.parameters, count, network)
            overlapped = training.step + max(0.0, exchange - BACKWARD * training.step)
            case = f"on paper, {training.name}, {count} GPUs"
            one = row(case, training.step + exchange, training.step, "one GPU", "ms/step", None)
            batch = count * training.images
            rows.append(
                one
                | {
                    "all_reduce_ms": round(exchange, 2),
                    "overlapped_ms": round(overlapped, 2),
                    "batch_size": batch,
                    "steps_per_epoch": round(IMAGENET / batch),
                    "images_per_second": round(1000 * batch / (training.step + exchange)),
                    "is_measured": training.is_measured,
                }
            )
    return rows
