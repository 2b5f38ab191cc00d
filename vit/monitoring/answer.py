"""What `vit monitor` and its sidecar say: the windows of the version that is served, beside what is known of it."""

import time
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from vit.errors import UserError
from vit.monitoring.known import Known, known_of, known_of_folder
from vit.monitoring.logged import newest_version, require_log
from vit.monitoring.sample import usual_block
from vit.monitoring.series import SETTLED, STATE, Question, Result, results
from vit.monitoring.windows import Window


@dataclass(frozen=True)
class Asked:
    """What a person asked for; `version`, `block` and `val` are found out if they are None. `name` is that of the
    registered model."""

    log: Path
    window: Window
    rate: float
    name: str
    version: str | None = None
    block: int | None = None
    val: Path | None = None


@dataclass(frozen=True)
class Comparisons:
    """The complete windows, the rows since then, and what the version is compared with."""

    question: Question
    known: Known
    found: list[Result]
    rest: pa.Table


def answer(asked: Asked, now: float | None = None, settled: float = SETTLED) -> Comparisons:
    """Compare what can be compared by `now`. Raises UserError if there is no log, or nothing to compare it with."""
    require_log(asked.log)
    version = newest_version(asked.log) if asked.version is None else asked.version
    if asked.val is not None:
        known = known_of_folder(asked.val)
    elif version:
        known = known_of(asked.name, version, asked.log / STATE / f"{asked.name}-{version}")
    else:
        raise UserError("the served model comes from no registry; name the folder of its sample of val with --val")
    block = usual_block(known.val) if asked.block is None else asked.block
    question = Question(asked.log, version, asked.window, block, asked.rate)
    found, rest = results(question, known.val, time.time() if now is None else now, settled)
    return Comparisons(question, known, found, rest)
