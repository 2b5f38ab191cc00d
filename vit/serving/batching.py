"""Requests that wait at the same time, computed as one batch: MLflow's server computes each alone (its issue 8007)."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

LARGEST = 32  # images: a larger batch would delay those that wait

Compute = Callable[[np.ndarray], np.ndarray]


@dataclass(eq=False)
class _Waiting:
    """A request's images (N, H, W, C), the rows computed of them so far, and the promise of all rows (N, classes)."""

    images: np.ndarray
    arrived: float
    rows: list[np.ndarray] = field(default_factory=list)
    promise: Future = field(default_factory=Future)

    @property
    def left(self) -> np.ndarray:
        return self.images[sum(map(len, self.rows)) :]


class Batcher:
    """Gathers the images of concurrent requests and computes them together, on a thread of its own.

    A batch starts when no announced request is still being decoded, when `largest` images wait, or `wait` seconds after
    the first of them arrived, whichever comes first: a client alone never waits. With `wait` 0 each request is computed
    alone. The oldest request gets an equal share of each batch, so that none is starved; the rest goes to those with
    the fewest images left, so that no small one waits for a large one. If a batch fails, its requests are computed one
    by one, and only those that fail alone raise the error.
    """

    def __init__(self, compute: Compute, wait: float, largest: int = LARGEST):
        self._compute, self._wait, self._largest = compute, wait, largest
        self._decoding = 0  # requests that were announced and have no images yet
        self._waiting: list[_Waiting] = []
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    @contextmanager
    def request(self) -> Iterator[Compute]:
        """Announce a request before decoding it; yields the function from images to rows, to be called once."""
        if not self._wait:
            yield self._compute
            return
        with self._changed:
            self._decoding += 1
            if self._thread is None or not self._thread.is_alive():  # a fork does not copy it
                self._thread = threading.Thread(target=self._work, name="batches", daemon=True)
                self._thread.start()
        waiting: list[_Waiting] = []

        def compute(images: np.ndarray) -> np.ndarray:
            one = _Waiting(images, time.monotonic())
            with self._changed:
                self._decoding -= 1
                waiting.append(one)
                self._waiting.append(one)
                self._changed.notify()
            return one.promise.result()

        try:
            yield compute
        finally:
            if not waiting:  # it was refused
                with self._changed:
                    self._decoding -= 1
                    self._changed.notify()

    def close(self) -> None:
        """End the thread, and with it its hold on the weights, once the announced requests are answered."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _work(self) -> None:
        while True:
            with self._changed:
                while (seconds := self._seconds_until_due()) != 0:
                    if self._closed and not self._decoding and not self._waiting:
                        self._thread = None  # a request that is announced only now starts another one
                        return
                    self._changed.wait(seconds)
                batch = self._deal()
            self._answer(batch)
            with self._changed:
                self._waiting = [one for one in self._waiting if not one.promise.done()]

    def _seconds_until_due(self) -> float | None:
        """0 if a batch should start now, None if nothing waits."""
        if not self._waiting:
            return None
        if not self._decoding or sum(len(one.left) for one in self._waiting) >= self._largest:
            return 0
        return max(0, self._waiting[0].arrived + self._wait - time.monotonic())

    def _deal(self) -> list[tuple[_Waiting, np.ndarray]]:
        """The next images of the requests that have waited longest, `largest` together at most."""
        asking = self._waiting[: self._largest]
        share = len(asking[0].left[: self._largest // len(asking)])  # of the oldest, whatever else waits
        room, dealt = self._largest - share, []
        for one in sorted(asking, key=lambda one: len(one.left)):
            kept = share if one is asking[0] else 0
            images = one.left[: kept + room]
            room -= len(images) - kept
            if len(images):
                dealt.append((one, images))
        return dealt

    def _answer(self, batch: list[tuple[_Waiting, np.ndarray]]) -> None:
        try:
            rows = self._compute(np.concatenate([images for _, images in batch]))
        except Exception as error:
            if len(batch) == 1:
                batch[0][0].promise.set_exception(error)
                return
            for one in batch:
                self._answer([one])
            return
        ends = np.cumsum([len(images) for _, images in batch])[:-1]
        for (one, _), computed in zip(batch, np.split(rows, ends), strict=True):
            one.rows.append(computed)
            if not len(one.left):
                one.promise.set_result(np.concatenate(one.rows))
