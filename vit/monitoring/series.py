"""The windows of a version: cut, compared with val once, and kept beside the log, so that their verdicts stay."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
from filelock import FileLock

from vit.files import read_json, write_json
from vit.monitoring.drift import FIGURES, Finding, compare, smallest_p
from vit.monitoring.logged import read_log, seconds_of
from vit.monitoring.sample import Sample, ValSample, live_sample
from vit.monitoring.windows import FEWEST, Window, complete

SETTLED = 60.0  # seconds after which a server has written what it answered
STATE = "monitor"  # folder in the log's


@dataclass(frozen=True)
class Question:
    """Which log, which version of it, and how: `block` consecutive predictions belong together, and a window without
    drift may alarm at the `rate`."""

    log: Path
    version: str
    window: Window
    block: int
    rate: float


@dataclass(frozen=True)
class Result:
    """A window beside val: the tests by figure (none if it is too small), and means and shares by name, which
    `values_of` computes. Times in seconds since 1970."""

    number: int
    start: float
    end: float
    predictions: int
    blocks: int
    tests: dict[str, Finding]
    values: dict[str, float]
    smallest_p: float

    def alarms(self, rate: float) -> list[str]:
        return [name for name in FIGURES if name in self.tests and self.tests[name].adjusted <= rate]


def results(question: Question, val: ValSample, now: float, settled: float = SETTLED) -> tuple[list[Result], pa.Table]:
    """All complete windows of the version, and the rows after the last of them; windows that were compared before are
    read, new ones are compared and kept."""
    path = state_path(question)
    path.parent.mkdir(exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        found = [_read(one) for one in read_json(path)] if path.is_file() else []
        rows = read_log(question.log, question.version, found[-1].end if found else 0.0)
        at = seconds_of(rows)
        end = 0
        before = len(found)
        for part in complete(at, question.window, now - settled):
            found.append(_result(len(found), rows.slice(part.start, part.stop - part.start), question, val))
            end = part.stop
        if len(found) > before:
            write_json(path, [asdict(one) for one in found])
    return found, rows.slice(end)


def state_path(question: Question) -> Path:
    """Another window, block or rate is another series."""
    name = f"version-{question.version or 'none'}.{question.window}.{question.block}.{question.rate:g}.json"
    return question.log / STATE / name


def _read(stored: dict) -> Result:
    return Result(**stored | {"tests": {name: Finding(**one) for name, one in stored["tests"].items()}})


def _result(number: int, rows: pa.Table, question: Question, val: ValSample) -> Result:
    live = live_sample(rows, question.block)
    at = seconds_of(rows)
    return Result(
        number=number,
        start=float(at[0]),
        end=float(at[-1]),
        predictions=rows.num_rows,
        blocks=live.blocks,
        tests=compare(live, val, question.rate) if rows.num_rows >= FEWEST else {},
        values=values_of(live, val.classes) | latencies_of(rows),
        smallest_p=smallest_p(live.blocks, val.blocks),
    )


def values_of(sample: Sample, classes: list[str]) -> dict[str, float]:
    """The mean of each figure, and the share of each class as `share/CLASS`."""
    shares = {f"share/{name}": float((sample.label == name).mean()) for name in classes}
    return shares | {name: float(values.mean()) for name, values in sample.figures.items()}


def latencies_of(rows: pa.Table) -> dict[str, float]:
    """Percentiles of the latency in ms, over predictions."""
    cuts = np.percentile(rows["latency_ms"].to_numpy(), [50, 95, 99])
    return {f"latency_p{name}": float(cut) for name, cut in zip((50, 95, 99), cuts, strict=True)}


def time_of(seconds: float) -> str:
    """In UTC, to the minute."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
