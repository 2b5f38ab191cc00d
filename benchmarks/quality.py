"""Quality at equal wall-clock: the ViT against a small CNN, ResNet-18 and 1-nearest neighbour, on the same test images.

    python -m benchmarks.quality --frames FOLDER --out benchmarks/quality.json

Each training is a `dvc exp run` in a clone of the last commit. How many epochs a model gets is fixed beforehand by how
fast it trains here; nothing ends by the clock. Every finished training is kept beside the rows, in quality_runs.json,
and not repeated with the same code on the same machine, so that the benchmark may be interrupted at any time.
"""

import argparse
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.contenders import REPO
from benchmarks.quality_rows import all_rows
from benchmarks.rows import print_table
from benchmarks.scratch import Scratch, identity
from benchmarks.throughput import Probe, seconds_per_epoch
from vit.config.presets import load_preset
from vit.config.schema import NEEDS
from vit.errors import UserError, run_program
from vit.files import read_json, write_json

CASES = ("digits", "folds", "random", "long")


@dataclass(frozen=True)
class Workload:
    """What is trained: presets, seeds, folds, the models that are compared, and seconds of training for each of them.

    `own` are settings by model beside those of the preset.
    """

    digits: str = "digits"
    frames: str = "tom_and_jerry"
    random: str = "tom_and_jerry_article"
    seeds: tuple[int, ...] = (0, 1, 2)
    folds: int = 5
    models: tuple[str, ...] = ("vit", "cnn", "torchvision/resnet18")
    seconds: float = 180
    long_seconds: float = 1800
    random_seconds: float = 2400
    own: dict[str, dict[str, object]] = field(default_factory=dict)
    probe: Probe = field(default_factory=Probe)


@dataclass
class Bench:
    """Trainings in a scratch clone, the records of those that are done, and their rows in `out`."""

    scratch: Scratch
    load: Workload
    device: str
    frames: Path | None
    out: Path
    belongs: dict[str, str]  # code and machine
    records: list[dict] = field(default_factory=list)

    def __post_init__(self):
        self.records = read_json(self.kept) if self.kept.exists() else []

    @property
    def kept(self) -> Path:
        return self.out.with_name(f"{self.out.stem}_runs.json")

    def measured(self, **what: object) -> dict | None:
        """A record of this code on this machine."""
        wanted = (self.belongs | what).items()
        return next((record for record in self.records if wanted <= record.items()), None)

    def keep(self, **record: object) -> dict:
        self.records.append(self.belongs | record)
        write_json(self.kept, self.records)
        write_json(self.out, self.rows())
        return self.records[-1]

    def rows(self) -> list[dict]:
        return all_rows(self.records, self.load.folds)

    def train(
        self, case: str, model: str, preset: str, settings: dict[str, object], budget: float | None = None
    ) -> None:
        """Train, evaluate and register, unless a record says that this is done; `budget` is what fixed the epochs."""
        what = {"case": case, "model": model, "preset": preset, "settings": settings, "budget": budget}
        if self.measured(**what):
            return
        print(f"{case}: {model}, {', '.join(f'{key}={value}' for key, value in settings.items())} ...", flush=True)
        self.scratch.run(preset, settings | self.everywhere(preset))
        found = self.scratch.reached()
        if case in ("folds", "long"):
            found |= {"groups": self.scratch.by_group(), "nearest_groups": self.scratch.nearest_by_group()}
        self.keep(**what, **found)

    def everywhere(self, preset: str) -> dict[str, object]:
        """Settings that are no part of a record: where the frames lie, and on what they are trained."""
        device = {"train.device": self.device, "evaluate.device": self.device}
        source = {"data.source": "folder", "data.path": self.frames} if preset != self.load.digits else {}
        return device | source

    def of_model(self, model: str, settings: dict[str, object]) -> dict[str, object]:
        """`settings` with the model, what is its own, and what needs a ViT's blocks switched off for the others."""
        without_blocks = {} if model == "vit" else {f"train.{key}": off for key, (_, off) in NEEDS.items()}
        return {"model.name": model} | without_blocks | settings | self.load.own.get(model, {})

    def epochs_for(
        self, preset: str, models: tuple[str, ...], settings: dict[str, object], seconds: float
    ) -> dict[str, int]:
        """How many epochs of each model take so many seconds here, at least one; measured once for a preset."""
        what = {"case": "probe", "preset": preset, "models": list(models), "settings": settings}
        record = self.measured(**what)
        if record is None:
            print(f"throughput of {preset}: {', '.join(models)} ...", flush=True)
            everywhere = self.everywhere(preset)
            self.scratch.pack(preset, settings | everywhere)
            params = {
                model: self.scratch.params(preset, self.of_model(model, settings) | everywhere) for model in models
            }
            record = self.keep(
                **what, seconds_per_epoch=seconds_per_epoch(params, self.scratch.folder, self.load.probe)
            )
        return {model: max(1, int(seconds / record["seconds_per_epoch"][model])) for model in models}

    def scheduled(self, preset: str, epochs: int) -> dict[str, object]:
        """So many epochs, with the preset's share of warm-up."""
        train = load_preset(preset, self.scratch.folder / "presets").params.train
        return {"train.epochs": epochs, "train.warmup_epochs": round(train.warmup_epochs * epochs / train.epochs, 2)}


def digits(bench: Bench) -> None:
    """The digits preset with seeds of split and training."""
    for seed in bench.load.seeds:
        bench.train("digits", "vit", bench.load.digits, {"split.seed": seed, "train.seed": seed})


def folds(bench: Bench) -> None:
    """Every model on every fold of the frames, fold after fold, so that each may be the last."""
    in_folds(bench, "folds", range(bench.load.folds), bench.load.seconds)


def long(bench: Bench) -> None:
    """Once for longer, on the first fold."""
    in_folds(bench, "long", range(1), bench.load.long_seconds)


def in_folds(bench: Bench, case: str, chosen: range, seconds: float) -> None:
    preset, of_first = bench.load.frames, {"split.folds": bench.load.folds, "split.fold": 0}
    epochs = bench.epochs_for(preset, bench.load.models, of_first, seconds)
    for fold in chosen:
        for model in bench.load.models:
            settings = bench.scheduled(preset, epochs[model]) | of_first | {"split.fold": fold}
            bench.train(case, model, preset, bench.of_model(model, settings), seconds)


def random(bench: Bench) -> None:
    """The article's way to split, by image, with a test part that chooses nothing."""
    preset, seconds = bench.load.random, bench.load.random_seconds
    by_image = {"split.strategy": "random"}
    epochs = bench.epochs_for(preset, ("vit",), by_image, seconds)["vit"]
    bench.train("random", "vit", preset, bench.scheduled(preset, epochs) | by_image, seconds)


STEPS = {"digits": digits, "folds": folds, "random": random, "long": long}


def main() -> None:
    """Run the cases that were asked for, in a clone of the last commit, and print all rows known so far."""
    arguments = parsed()
    load = Workload(
        random=arguments.random_preset,
        seconds=arguments.seconds,
        long_seconds=arguments.long_seconds,
        random_seconds=arguments.random_seconds,
    )
    if arguments.cases != ["digits"] and (arguments.frames is None or not arguments.frames.is_dir()):
        raise UserError(
            f"--frames {arguments.frames}: no folder; name that of the Tom & Jerry frames, or choose --cases digits"
        )
    with ExitStack() as stack:
        work = arguments.work or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="quality-")))
        belongs = identity(REPO) | {"device": arguments.device}
        bench = Bench(
            scratch=Scratch.of(REPO, work.resolve()),
            load=load,
            device=arguments.device,
            frames=arguments.frames and arguments.frames.resolve(),
            out=arguments.out,
            belongs=belongs,
        )
        for case in arguments.cases:
            STEPS[case](bench)
        print_table(bench.rows())
        print(f"\n{belongs['machine']}")


def parsed() -> argparse.Namespace:
    """The arguments of the command line."""
    parser = argparse.ArgumentParser(description="Measure quality at equal wall-clock.")
    parser.add_argument("--out", type=Path, required=True, help="where to write the rows as JSON")
    parser.add_argument("--frames", type=Path, help="the Tom & Jerry frames, a directory per class")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--seconds", type=float, default=Workload.seconds, help="of training, per model and fold")
    parser.add_argument("--long-seconds", type=float, default=Workload.long_seconds, help="the same for the case long")
    parser.add_argument("--random-seconds", type=float, default=Workload.random_seconds, help="for the case random")
    parser.add_argument("--random-preset", default=Workload.random, help="what it trains, whatever its split")
    parser.add_argument("--device", default="auto", help="as train.device")
    parser.add_argument(
        "--work",
        type=Path,
        help="the folder to train in, kept; a training cut off goes on there; default: a temporary one",
    )
    return parser.parse_args()


if __name__ == "__main__":
    run_program(main)
