"""Training: milliseconds of an optimizer step (forward, loss, backward, clipping, AdamW) on a ready batch, ours as it
comes against timm, torchvision, transformers and a tutorial's ViT, in float32 and under autocast to bfloat16; then
`auto` against every setting it chooses from.

    python -m benchmarks.train --out benchmarks/train.json

All train the same geometry, with a class token and learned positions as every peer has them, in one process, by turns.
Beside the times stand the share of the matrix-product peak in the contender's precision, and peak memory in MiB.
"""

import argparse
import dataclasses
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

import torch

from benchmarks.contenders import PEERS, REQUIREMENTS, Case, Contender, missing_peers, ours, peer, preset_case
from benchmarks.rows import alternating, report, row
from benchmarks.work import matmul_peak, peak_memory, step_gflop
from vit.errors import UserError
from vit.tracking.environment import named
from vit.training.device import choose, find_device
from vit.training.distributed import World

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
ATTENTIONS = ("math", "fused")
PRESETS = ("shapes", "digits", "tom_and_jerry", "cifar10")
AUTO_GOAL = 0.9  # of the speed of the best fixed setting


@dataclass(frozen=True)
class Workload:
    """How much is measured: the rounds, and for how many seconds each contender trains in one of them."""

    rounds: int = 7
    seconds: float = 1.0  # but at least one step
    products: tuple[tuple[int, int, int], ...] = ((1024,) * 3, (2048,) * 3, (4096,) * 3, (8192, 768, 768))  # M, K, N
    product_seconds: float = 1.0  # for each of them


def geometry(name: str, side: int, patch_size: int, depth: int, classes: int, batch_size: int) -> Case:
    """Width 192 in 3 heads on square colour images; trained as the digits preset says."""
    model = {"patch_size": patch_size, "embed_dim": 192, "depth": depth, "num_heads": 3}
    image = {"image_size": (side, side), "channels": 3, "classes": classes, "batch_size": batch_size}
    return like_peers(dataclasses.replace(preset_case("digits"), name=name, **image), **model)


def like_peers(case: Case, **model: int) -> Case:
    """With the plain patches, the class token, the learned positions and the AdamW that all peers have."""
    alike = {"stem": "patch", "pool": "cls", "pos_embed": "learned"}
    train = case.train.model_copy(update={"optimizer": "adamw"})
    return dataclasses.replace(case, model=case.model.model_copy(update=alike | model), train=train)


def cases(device: str) -> list[tuple[Case, dict[str, float]]]:
    """What is trained, on a CPU with the times by which ours has to be faster."""
    is_cpu = find_device(device).type == "cpu"
    small = geometry("32x32/4, dim 192, depth 6", 32, 4, depth=6, classes=10, batch_size=128)
    tiny = geometry("ViT-Ti/16, 224x224", 224, 16, depth=12, classes=1000, batch_size=32 if is_cpu else 128)
    goals = [(small, 2.2, 1.5), (tiny, 1.8, 1.6), (like_peers(preset_case("digits")), 1.2, 1.2)]
    return [
        (on(case, device), {"float32": float32, "bfloat16": bfloat16} if is_cpu else {})
        for case, float32, bfloat16 in goals
    ]


def on(case: Case, device: str) -> Case:
    return dataclasses.replace(case, train=case.train.model_copy(update={"device": device}))


def step_times(contenders: dict[str, Contender], load: Workload) -> dict[str, float]:
    """Median milliseconds per step of each, after a round that is not counted."""

    def timed(contender: Contender) -> Callable[[], float]:
        contender.milliseconds(3)
        steps = max(1, round(1000 * load.seconds / contender.milliseconds(1)))
        return partial(contender.milliseconds, steps)

    return alternating({name: timed(contender) for name, contender in contenders.items()}, load.rounds)


def against_peers(
    case: Case, goals: dict[str, float], peers: Iterable[str], peaks: dict[str, float], load: Workload
) -> list[dict]:
    """A row per peer in float32 and under autocast; the fastest of either kind is the one with the goal.

    `goals` are times by which ours has to be faster, `peaks` GFLOP/s, both by the peers' precision.
    """
    kinds = {
        "float32": {name: (name, False) for name in peers},
        "bfloat16": {f"{name}, autocast": (name, True) for name in peers},
    }
    which = kinds["float32"] | kinds["bfloat16"]
    times = step_times({"ours": ours(case)} | {label: peer(case, *which[label]) for label in which}, load)
    gflop = step_gflop(case)

    def beside(side: str, label: str, precision: str) -> dict[str, float]:
        return {
            f"{side}_of_peak": float(f"{1000 * gflop / times[label] / peaks[precision]:.3g}"),
            f"{side}_mib": round(peak_memory(case, *which.get(label, (None,)))),
        }

    ours_beside = beside("ours", "ours", choose(case.train, case.model, case.image_size, World())[0].precision)
    rows = []
    for precision, alike in kinds.items():
        fastest = min(alike, key=times.__getitem__)
        for label in alike:
            goal = goals.get(precision) if label == fastest else None
            one = row(case.name, times["ours"], times[label], label, "ms/step", goal)
            rows.append(one | ours_beside | beside("peer", label, precision))
    return rows


def against_fixed(case: Case, load: Workload) -> list[dict]:
    """`auto` against each precision and attention kernel; the fastest of them is the one with the goal."""
    fixed = {
        f"{precision}, {attention}": ours(case, precision=precision, attention=attention)
        for precision, attention in product(PRECISIONS, ATTENTIONS)
    }
    times = step_times({"auto": ours(case), **fixed}, load)
    fastest = min(fixed, key=times.__getitem__)
    return [
        row(f"auto, {case.name}", times["auto"], times[name], name, "ms/step", AUTO_GOAL if name == fastest else None)
        for name in fixed
    ]


def measure(
    cases: list[tuple[Case, dict[str, float]]], presets: Iterable[str], peers: Iterable[str], load: Workload
) -> list[dict]:
    """Every case, as rows; on an accelerator each row names it."""
    asked = cases[0][0].train.device
    device = find_device(asked)
    products = load.products if device.type == "cpu" else (*load.products, (8192,) * 3)
    peaks = {name: matmul_peak(products, dtype, device, load.product_seconds) for name, dtype in PRECISIONS.items()}
    rows = [
        row("matrix product, peak", peaks["bfloat16"], peaks["float32"], "float32 against bfloat16", "GFLOP/s", None)
    ]
    for case, goals in cases:
        print(f"{case.name} ...", file=sys.stderr)
        rows += against_peers(case, goals, list(peers), peaks, load)
    for preset in presets:
        print(f"{preset}: auto ...", file=sys.stderr)
        rows += against_fixed(on(preset_case(preset), asked), load)
    return rows if device.type == "cpu" else [one | {"device": named(str(device))} for one in rows]


def main() -> None:
    """Measure all cases, write the rows and print them, with device, threads and release of PyTorch."""
    parser = argparse.ArgumentParser(description="Measure training steps.")
    parser.add_argument("--out", type=Path, required=True, help="where to write the rows as JSON")
    parser.add_argument("--rounds", type=int, default=Workload.rounds, help="each contender once in every round")
    parser.add_argument("--seconds", type=float, default=Workload.seconds, help="of each contender in a round")
    parser.add_argument("--device", default="auto", help="auto | cpu | cuda | cuda:1 | mps | xpu")
    arguments = parser.parse_args()
    try:
        device = find_device(arguments.device)
    except UserError as error:
        parser.error(str(error))
    if missing := missing_peers():
        parser.error(f"{', '.join(missing)} not installed; `pip install -r {REQUIREMENTS}`, or run `make bench-train`")
    report(measure(cases(str(device)), PRESETS, PEERS, Workload(arguments.rounds, arguments.seconds)), arguments.out)
    threads = f"{torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"
    print(f"\n{named(str(device))}, {threads}, PyTorch {torch.__version__}")


if __name__ == "__main__":
    main()
