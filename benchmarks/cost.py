"""Cost: parameters, seconds of training for 1,000 images, and milliseconds to label one, alone and among 32: the model
of each preset beside the small CNN and ResNet-18 on images of its size.

    python -m benchmarks.cost --out benchmarks/cost.json

Images are random; training is that of the preset, augmentation included, in batches of its size, but of 8 images for
those of 224x224 on a CPU. What takes longer than a second there is measured once, after one time that does not count.
"""

import argparse
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from benchmarks.contenders import Case, new_classifier, preset_case
from benchmarks.rows import alternating, report, row
from benchmarks.scaling import epoch
from vit.config.schema import NEEDS
from vit.training.device import apply, choose, find_device
from vit.training.distributed import World

PRESETS = ("shapes", "digits", "cifar10", "tom_and_jerry", "tom_and_jerry_article", "own_images", "vit_b16")
PEERS = ("cnn", "torchvision/resnet18")
LARGE = {"vit_b16": 8, "tom_and_jerry_article": 8}  # images at a time, so that a step takes seconds on a CPU


@dataclass(frozen=True)
class Workload:
    """How much is measured: the rounds, and for how many seconds each model works in one of them."""

    rounds: int = 3
    seconds: float = 0.3  # but at least one step
    patience: float = 1.0  # seconds for a step beyond which it is made once, and no more


def cases_of(preset: str) -> dict[str, Case]:
    """The preset's own model, and the peers trained alike."""
    case = preset_case(preset)
    if preset in LARGE and find_device(case.train.device).type == "cpu":
        case = replace(
            case, batch_size=LARGE[preset], train=case.train.model_copy(update={"batch_size": LARGE[preset]})
        )
    alike = case.train.model_copy(update={key: off for key, (_, off) in NEEDS.items()})
    peers = {name: replace(case, model=case.model.model_copy(update={"name": name}), train=alike) for name in PEERS}
    return {"ours": case, **peers}


def parameters(case: Case) -> float:
    """Millions of them."""
    return new_classifier(case, choose(case.train, case.model, case.image_size, World())[0]).parameter_count / 1e6


def settled(work: Callable[[], float], load: Workload) -> Callable[[], float]:
    """`work` after its first time, which costs more; where that takes long, its second time for good."""
    began = time.perf_counter()
    work()
    if time.perf_counter() - began < load.patience:
        return work
    value = work()
    return lambda: value


def training(case: Case, load: Workload) -> Callable[[], float]:
    """Seconds for 1,000 images."""
    size = case.batch_size
    once = settled(epoch(case, size), load)
    steps = max(1, round(load.seconds / once()))
    whole = once if steps == 1 else epoch(case, steps * size)
    return lambda: 1000 * whole() / (steps * size)


def answering(case: Case, images: int, load: Workload) -> Callable[[], float]:
    """Milliseconds per image, of as many at once."""
    compute, _ = choose(case.train, case.model, case.image_size, World())
    classifier = new_classifier(case, compute)
    batch = torch.randint(256, (images, *case.image_size, case.channels), dtype=torch.uint8)

    def work() -> float:
        apply(compute)
        began, calls = time.perf_counter(), 0
        while not calls or time.perf_counter() - began < load.seconds:
            classifier.logits(batch)
            calls += 1
        return 1000 * (time.perf_counter() - began) / (calls * images)

    return settled(work, load)


def rows_of(preset: str, load: Workload) -> list[dict]:
    """A row per figure and peer."""
    cases = cases_of(preset)
    measured = {
        ("parameters", "million parameters"): {name: parameters(case) for name, case in cases.items()},
        ("training", "seconds per 1,000 images"): alternating(
            {name: training(case, load) for name, case in cases.items()}, load.rounds
        ),
    }
    for images in (1, 32):
        works = {name: answering(case, images, load) for name, case in cases.items()}
        measured[f"answering, {images} at once", "ms per image"] = alternating(works, load.rounds)
    return [
        row(f"{preset}, {what}", values["ours"], values[name], name, unit, None)
        for (what, unit), values in measured.items()
        for name in PEERS
    ]


def measure(presets: Iterable[str], load: Workload) -> list[dict]:
    return [one for preset in presets for one in rows_of(preset, load)]


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what the presets' models cost.")
    parser.add_argument("--out", type=Path, required=True, help="where to write the rows as JSON")
    parser.add_argument("--presets", nargs="+", choices=PRESETS, default=list(PRESETS))
    arguments = parser.parse_args()
    report(measure(arguments.presets, Workload()), arguments.out)
    print(
        f"\n{torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}, PyTorch {torch.__version__}"
    )


if __name__ == "__main__":
    main()
