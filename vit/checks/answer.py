"""The answer to a question, and the time budget that may leave it open."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

FIRST = 2  # steps that also allocate and warm up, so they do not show the pace


class Verdict(StrEnum):
    """Whether a question was answered well, badly or not at all."""

    GOOD = "good"
    BAD = "bad"
    OPEN = "open"


@dataclass(frozen=True)
class Answer:
    """A verdict with its evidence, the way out unless it is good, and the files that show more."""

    verdict: Verdict
    evidence: str
    way_out: str | None = None
    files: list[Path] = field(default_factory=list)


class LeftOpen(Exception):
    """Why a question has no answer, and how to get one."""

    def __init__(self, evidence: str, way_out: str):
        super().__init__(evidence)
        self.answer = Answer(Verdict.OPEN, evidence, way_out)


class Clock:
    """Leaves questions open that do not fit into the rest of `budget` seconds."""

    def __init__(self, budget: float):
        self.budget, self.began = budget, time.monotonic()

    @property
    def spent(self) -> float:
        return time.monotonic() - self.began

    def require_time(self) -> None:
        """Raises LeftOpen once the budget is spent."""
        if self.spent >= self.budget:
            raise LeftOpen(
                f"no time: the budget of {self.budget:g} s is spent", f"vit check --budget {2 * self.budget:g}"
            )

    def steps(self, most: int, expected: int | None = None) -> Iterator[int]:
        """Count to `most`. Raises LeftOpen once the budget is spent or, at the pace so far, too short for `expected`
        steps (None: for all)."""
        expected, since = most if expected is None else expected, self.spent
        for number in range(most):
            yield number
            if number + 1 == FIRST:
                since = self.spent
            pace = (self.spent - since) / max(1, number + 1 - FIRST)
            needed = self.spent + pace * max(0, expected - number - 1)
            if number + 1 < most and needed > self.budget:
                raise LeftOpen(
                    f"no time: it needs about {needed - self.spent:.0f} s more, of a budget of {self.budget:g} s",
                    f"vit check --budget {10 * round(1 + needed / 5)}",
                )
