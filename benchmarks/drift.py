"""When drift of a video is noticed, how often an alarm is false, and what one turn of `vit keep` then gains.

    python -m benchmarks.drift --frames FOLDER --out benchmarks/drift.json

A model is trained on the frames with numbers below a limit, split into blocks; later frames are served in order. The
pipeline trains and publishes in a clone of the last commit; the frames take the way of a request through the served
model and its prediction log, without HTTP. FOLDER has one folder per class, with frameN.jpg.
"""

import argparse
import base64
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image, ImageEnhance, ImageFilter
from scipy.stats import binom

from benchmarks.contenders import REPO
from benchmarks.rows import report
from benchmarks.scratch import Scratch
from vit.config.files import VAL_SAMPLE
from vit.config.params_file import load_params
from vit.config.register import SERVING
from vit.data.manifest import Row, read_rows
from vit.errors import run_program
from vit.monitoring.accuracy import LaterLabels, live_accuracy
from vit.monitoring.drift import FIGURES, Finding, compare
from vit.monitoring.logged import read_log
from vit.monitoring.sample import Sample, ValSample, live_sample, read_val_sample
from vit.monitoring.series import Question, results
from vit.monitoring.windows import Window
from vit.serving.cores import Cores
from vit.serving.prediction_log import PredictionLog
from vit.serving.settings import Logging
from vit.serving.version import ServedVersion

NUMBER = re.compile(r"(\d+)\.\w+$")
Change = Callable[[Image.Image], Image.Image]
CHANGES: dict[str, Change] = {
    "30 % darker": lambda image: ImageEnhance.Brightness(image).enhance(0.7),
    "blurred by 3 pixels": lambda image: image.filter(ImageFilter.GaussianBlur(3)),
    "grey": lambda image: image.convert("L").convert("RGB"),
}


@dataclass(frozen=True)
class Workload:
    """What is trained on the frames below `until`, and how what follows is cut into windows."""

    preset: str = "tom_and_jerry"
    settings: dict[str, object] = field(
        default_factory=lambda: {
            "split.block_size": 50,
            "split.val_fraction": 0.2,
            "split.test_fraction": 0.2,
            "evaluate.slices": "[label]",
        }
    )
    until: int = 2200
    block: int = 50  # frames that belong together, as in the split
    windows: tuple[int, ...] = (250, 500, 1000)
    rate: float = 0.01
    draws: int = 100  # windows without drift
    labelled: int = 1000  # frames from `until` on, labelled later, that one turn of `vit keep` adds


@dataclass(frozen=True)
class Trained:
    """A trained clone, its served model, and its sample of val."""

    folder: Path
    version: ServedVersion
    val: ValSample

    def part(self, name: str) -> list[Row]:
        """The images of a split, in the order of the video."""
        return sorted(read_rows(self.folder / f"data/splits/{name}.csv"), key=lambda row: number_of(row.path))

    def files(self, rows: Iterable[Row]) -> list[Path]:
        return [self.folder / "data/raw" / row.path for row in rows]


def number_of(path: str | Path) -> int:
    match = NUMBER.search(str(path))
    assert match is not None, f"{path} has no frame number"
    return int(match[1])


def trained(frames: Path, load: Workload, folder: Path) -> Trained:
    """Train and publish on the early frames."""
    early = folder / "early"
    shutil.rmtree(early, ignore_errors=True)  # an earlier run left later frames there
    add(in_order(frames, 0, load.until), early)
    scratch = Scratch.of(REPO, folder / "clone")
    scratch.run(load.preset, load.settings | {"data.source": "folder", "data.path": early})
    return Trained(scratch.folder, _served(scratch, "1"), read_val_sample(scratch.folder / "evaluation" / VAL_SAMPLE))


def _served(scratch: Scratch, number: str) -> ServedVersion:
    settings = load_params(scratch.folder / "params.yaml").register_.model_dump(include=SERVING)
    return ServedVersion.load(scratch.folder / "model", settings, Cores(), number, with_features=True)


def in_order(frames: Path, first: int, end: float) -> list[Path]:
    """The frames with numbers from `first` to below `end`."""
    files = [path for path in frames.glob("*/*") if NUMBER.search(path.name) and first <= number_of(path) < end]
    return sorted(files, key=number_of)


def add(files: Iterable[Path], folder: Path) -> None:
    """Copy frames into the folder of their class."""
    for file in files:
        (folder / file.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(file, folder / file.parent.name)


def logged(version: ServedVersion, files: Sequence[Path], log: Path, change: Change | None = None) -> pa.Table:
    """Serve the files in order, and read the log of it; `change` alters the images first."""
    predictions = PredictionLog(Logging(log, seconds=3600, days=1, image_days=0))
    for file in files:
        began = time.perf_counter()
        answer = version.answer([base64.b64encode(_content(file, change)).decode()], {})
        predictions.add(answer, version, time.perf_counter() - began)
    predictions.close()
    rows = read_log(log)
    assert rows.num_rows == len(files), "the log dropped predictions"
    return rows


def _content(file: Path, change: Change | None) -> bytes:
    if change is None:
        return file.read_bytes()
    buffer = BytesIO()
    with Image.open(file) as image:
        change(image.convert("RGB")).save(buffer, "PNG")
    return buffer.getvalue()


def tally(case: str, found: Sequence[dict[str, Finding]], rate: float, is_drift: bool) -> dict:
    """How many windows alarmed, by any figure and by each. Without drift the goal is what 95 of 100 repetitions of a
    test with this rate would stay within."""
    by_figure = {name: sum(one[name].adjusted <= rate for one in found) for name in FIGURES}
    alarms = sum(any(test.adjusted <= rate for test in one.values()) for one in found)
    goal = None if is_drift else int(binom.ppf(0.95, len(found), rate))
    met = None if goal is None else alarms <= goal
    return {"case": case, "windows": len(found), "alarms": alarms, **by_figure, "goal": goal, "met": met}


def drawn_windows(groups: np.ndarray, size: int, draws: int) -> list[np.ndarray]:
    """Indices of windows: whole groups in a random order until there are `size`; the same ones at every call."""
    generator = np.random.default_rng(0)
    windows = []
    for _ in range(draws):
        order = generator.permutation(np.unique(groups))
        windows.append(np.concatenate([np.flatnonzero(groups == one) for one in order])[:size])
    return windows


def without_drift(model: Trained, load: Workload, folder: Path) -> list[dict]:
    """Windows of held-out frames, whose blocks the model knows no more than those of val; then altered ones."""
    test = model.part("test")
    rows = logged(model.version, model.files(test), folder / "test")
    groups, size = np.array([row.group for row in test]), load.windows[0]
    windows = drawn_windows(groups, size, load.draws)

    one_by_one = replace(model.val, block=np.arange(len(model.val.block)))

    def tested(rows: pa.Table, block: int, val: Sample = model.val) -> list[dict[str, Finding]]:
        return [compare(live_sample(rows.take(one), block), val, load.rate) for one in windows]

    held_out = f"held-out blocks of frames, windows of {size}"
    found = [
        tally(f"{held_out}, tested as blocks of {load.block}", tested(rows, load.block), load.rate, False),
        tally(f"{held_out}, tested as single frames beside blocks of val", tested(rows, 1), load.rate, False),
        tally(f"{held_out}, all tested as single frames", tested(rows, 1, one_by_one), load.rate, False),
        *_dealt(model, rows, groups, load),
    ]
    for name, change in CHANGES.items():
        altered = logged(model.version, model.files(test), folder / name, change)
        found.append(tally(f"the same, {name}", tested(altered, load.block), load.rate, True))
    return found


def _dealt(model: Trained, rows: pa.Table, groups: np.ndarray, load: Workload) -> list[dict]:
    """Val and test dealt anew at random, so that both sides come from one distribution by construction."""
    pooled = live_sample(rows, 1)
    both = Sample(
        np.concatenate([model.val.label, pooled.label]),
        np.concatenate([model.val.embedding, pooled.embedding]),
        {name: np.concatenate([model.val.figures[name], values]) for name, values in pooled.figures.items()},
        np.concatenate([model.val.block, len(model.val.block) + np.unique(groups, return_inverse=True)[1]]),
    )
    generator = np.random.default_rng(0)
    found: dict[str, list[dict[str, Finding]]] = {"blocks": [], "frames": []}
    for _ in range(load.draws):
        for unit, numbers in (("blocks", both.block), ("frames", np.arange(len(both.label)))):
            units = generator.permutation(np.unique(numbers))
            is_live = np.isin(numbers, units[: len(units) // 2])
            dealt = replace(both, block=numbers)
            found[unit].append(compare(_part(dealt, is_live), _part(dealt, ~is_live), load.rate))
    return [tally(f"{unit} of val and test dealt at random", tests, load.rate, False) for unit, tests in found.items()]


def _part(sample: Sample, chosen: np.ndarray) -> Sample:
    figures = {name: values[chosen] for name, values in sample.figures.items()}
    return Sample(sample.label[chosen], sample.embedding[chosen], figures, sample.block[chosen])


def later(model: Trained, frames: Path, load: Workload, folder: Path) -> list[dict]:
    """The frames from `until` on, in order: each window's alarms, beside the accuracy that nobody knows at the time."""
    files = in_order(frames, load.until, np.inf)
    rows = logged(model.version, files, folder / "later")
    labels = true_labels(rows, files)
    found = []
    for size in load.windows:
        question = Question(folder / "later", "1", Window(predictions=size), load.block, load.rate)
        windows, _ = results(question, model.val, time.time(), settled=0)
        for one in windows:
            part = rows.slice(one.number * size, size)
            first, last = (number_of(files[one.number * size + offset]) for offset in (0, size - 1))
            found.append(
                {
                    "case": f"frames {first} to {last}, window of {size}",
                    **accuracy(part, labels, load.block),
                    "told": ", ".join(one.alarms(load.rate)) or "nothing",
                    **{f"{name} p": round(test.adjusted, 4) for name, test in one.tests.items()},
                    "embedding distance": round(one.tests["embedding"].distance, 3),
                }
            )
    return found


def true_labels(rows: pa.Table, files: Sequence[Path]) -> LaterLabels:
    """The folders of the files that were served, as labels that came later."""
    digests = rows["sha256"].to_pylist()
    return LaterLabels({}, {digest: file.parent.name for digest, file in zip(digests, files, strict=True)}, True)


def accuracy(rows: pa.Table, labels: LaterLabels, block: int) -> dict[str, float | None]:
    """Live accuracy with its interval over blocks."""
    right = live_accuracy(rows, labels, block)
    assert right is not None
    ends = {"accuracy": right.value, "low": right.low, "high": right.high}
    return {name: None if end is None else round(end, 3) for name, end in ends.items()}


def renewed(model: Trained, frames: Path, load: Workload, folder: Path) -> list[dict]:
    """One turn of `vit keep` on the early frames and the `labelled` ones after them: both models on the frames after
    those, a block later."""
    end = load.until + load.labelled
    add(in_order(frames, load.until, end), model.folder.parent / "early")
    scratch = Scratch(model.folder)
    said = scratch.keep()
    files = in_order(frames, end + load.block, np.inf)
    found = []
    for name, version in (("before", model.version), ("after", _served(scratch, "2"))):
        rows = logged(version, files, folder / name)
        case = f"frames {number_of(files[0])} to {number_of(files[-1])}, {name} a turn of vit keep"
        found.append({"case": case, **accuracy(rows, true_labels(rows, files), load.block)})
    return [*found[:1], found[1] | {"told": said}]


def all_rows(frames: Path, load: Workload, scratch: Path | None = None) -> list[dict]:
    """With a folder `scratch` the training is kept there, and not repeated with the same code."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        model = trained(frames, load, scratch or folder)
        test = Scratch(model.folder).reached()
        first = {"case": f"the model on its own test blocks, frames below {load.until}"}
        first |= {name: round(float(test[f"accuracy{end}"]), 3) for name, end in ENDS.items()}
        return [
            first,
            *later(model, frames, load, folder),
            *without_drift(model, load, folder),
            *renewed(model, frames, load, folder),
        ]


ENDS = {"accuracy": "", "low": "_low", "high": "_high"}


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure when drift is noticed, and false alarms.")
    parser.add_argument("--frames", type=Path, required=True, help="folder with a folder per class")
    parser.add_argument("--out", type=Path, required=True, help="where to write the rows as JSON")
    parser.add_argument("--scratch", type=Path, help="folder in which the training is kept for the next time")
    arguments = parser.parse_args()
    scratch = None if arguments.scratch is None else arguments.scratch.resolve()
    report(all_rows(arguments.frames.resolve(), Workload(), scratch), arguments.out)


if __name__ == "__main__":
    run_program(main)
