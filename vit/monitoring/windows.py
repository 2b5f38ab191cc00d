"""Windows of predictions: one after the other, without overlap, so that asking often tests nothing twice."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vit.errors import UserError

UNITS = {"m": 60, "h": 3600, "d": 86400}
FEWEST = 20  # predictions of a window that is tested


@dataclass(frozen=True)
class Window:
    """A number of predictions, or of seconds; windows of seconds begin at multiples of it since 1970, in UTC."""

    predictions: int | None = None
    seconds: int | None = None

    @classmethod
    def parse(cls, text: str) -> "Window":
        """500 (predictions), 30m, 6h or 1d. Raises UserError."""
        match = re.fullmatch(r"([1-9]\d{0,8})([mhd]?)", text)
        if match is None or (not match[2] and int(match[1]) < FEWEST):
            raise UserError(
                f"--window {text}: must be a number of predictions >= {FEWEST}, or a time like 30m, 6h or 1d"
            )
        count = int(match[1])
        return cls(seconds=count * UNITS[match[2]]) if match[2] else cls(predictions=count)

    def __str__(self) -> str:
        if self.seconds is None:
            return str(self.predictions)
        unit, seconds = max(
            ((unit, seconds) for unit, seconds in UNITS.items() if self.seconds % seconds == 0), key=lambda one: one[1]
        )
        return f"{self.seconds // seconds}{unit}"


def complete(at: np.ndarray, window: Window, until: float) -> Iterator[slice]:
    """The windows in sorted times (N,), in seconds, that end by `until`; empty ones are left out. The images of one
    request have one time and stay in one window."""
    if window.predictions is not None:
        start, enough = 0, window.predictions
        while start + enough <= len(at) and (last := at[start + enough - 1]) <= until:
            end = int(np.searchsorted(at, last, side="right"))
            yield slice(start, end)
            start = end
        return
    assert window.seconds is not None
    numbers = at // window.seconds
    for number in np.unique(numbers[(numbers + 1) * window.seconds <= until]):
        yield slice(*np.searchsorted(numbers, [number, number + 1]).tolist())
