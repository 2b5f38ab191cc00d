"""How the machine's cores are shared by the requests that are being decoded and the batch that is being computed."""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import pairwise

import numpy as np

MOST_PARTS = 4  # of a batch: Python runs one thread at a time between two operators
WORTH_SHARING = 0.01  # seconds of a pass; threads that share a shorter one wait for each other longer than they gain
WORKERS = "--workers"  # of `mlflow models serve`, which hands it to uvicorn

Compute = Callable[[np.ndarray], np.ndarray]


class Cores:
    """A single request uses all cores. With several, more threads than cores would only wait for each other.

    A batch is computed in parts, one image at least, each by a thread of its own, because threads that share an
    operator wait for each other at its end. One image alone is computed with threads inside the operators if that is
    worth their waiting. The worker processes of a server get equal shares of the cores.
    """

    def __init__(self):
        import torch  # late: publishing needs only the signature, and torch takes seconds to import

        self._set_threads = torch.set_num_threads  # of the calling thread
        self.count = max(1, torch.get_num_threads() // worker_processes(sys.argv))
        self._busy = 0  # requests that are being decoded, and parts that are being computed
        self._lock = threading.Lock()
        self._turns = threading.Semaphore(self.count)
        self._decoders = ThreadPoolExecutor(self.count, "decoding")
        self._computers = ThreadPoolExecutor(min(self.count, MOST_PARTS), "computing")

    @contextmanager
    def decoding(self) -> Iterator[Callable]:
        """While a request is decoded; yields what to use for `map` over its images. It is parallel if nothing else is
        going on. As many images as there are cores are decoded at a time, those of several requests in turn."""
        with self._uses(1) as others:
            run = self._decoders.map if not others and self.count > 1 else map
            yield lambda decode, rows: run(partial(self._in_turn, decode), rows)

    def worth(self, compute: Compute, image: np.ndarray) -> int:
        """With how many threads at most to compute one `image` alone: one if that is quick, else all cores."""
        seconds = []
        for _ in range(4):  # the first ones prepare kernels and memory
            began = time.perf_counter()
            self._computers.submit(self._run, compute, 1, image).result()  # the caller's threads stay as they are
            seconds.append(time.perf_counter() - began)
        return self.count if min(seconds) > WORTH_SHARING else 1

    def rows(self, compute: Compute, images: np.ndarray, most_threads: int) -> np.ndarray:
        """`compute(images)`, with one row for each image; on the cores that nothing else uses.

        Each part is computed with `most_threads` at most.
        """
        parts = min(len(images), self.count, MOST_PARTS)
        with self._uses(parts) as others:
            one = partial(self._run, compute, min(most_threads, max(1, (self.count - others) // parts)))
            if parts == 1:
                return one(images)
            return np.concatenate(list(self._computers.map(one, np.array_split(images, parts))))

    def explained(self, explain: Callable, *arguments: object):
        """`explain(*arguments)` when it is this request's turn, on the cores that nothing else uses."""
        with self._turns, self._uses(1) as others:
            return self._run(explain, max(1, self.count - others), *arguments)

    @contextmanager
    def _uses(self, threads: int) -> Iterator[int]:
        """Count `threads` as busy; yields how many others are."""
        with self._lock:
            others = self._busy
            self._busy += threads
        try:
            yield others
        finally:
            with self._lock:
                self._busy -= threads

    def _in_turn(self, decode: Callable, row: int):
        with self._turns:
            return decode(row)

    def _run(self, function: Callable, threads: int, *arguments: object):
        self._set_threads(threads)
        return function(*arguments)


def worker_processes(arguments: list[str]) -> int:
    """How many processes serve the model, by uvicorn's `arguments`, which its workers inherit, or its variable."""
    given = dict(pairwise(arguments)).get(WORKERS, os.environ.get("WEB_CONCURRENCY", ""))
    return max(1, int(given)) if given.isdecimal() else 1
