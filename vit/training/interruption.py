"""Ctrl-C and SIGTERM end a training between two steps, after a checkpoint."""

import signal
from collections.abc import Callable
from types import FrameType

from vit.errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Within the block the first signal is only recorded in `received`; a second one has its usual effect."""

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._before: dict[int, Callable[[int, FrameType | None], object] | int | None] = {}

    def __enter__(self) -> "Interruption":
        self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = signal.Signals(number)
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


def interrupted(received: signal.Signals, steps: int, total: int) -> Interrupted:
    """What ends a training of `total` steps after `steps` of them, with its checkpoint in place."""
    return Interrupted(
        f"stopped by {received.name} after step {steps} of {total}; start it again to resume from its last checkpoint",
        128 + received,
    )
