"""How the machine's cores are shared by the requests that are being decoded and the batch that is being computed."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import numpy as np

MOST_PARTS = 4  # of a batch: Python runs one thread at a time between two operators


class Cores:
    """A single request uses all cores. With several, more threads than cores would only wait for each other.

    A batch is computed in parts, one image at least, each by a thread of its own, because threads that share an
    operator wait for each other at its end. One image alone is computed with threads inside the operators.
    """

    def __init__(self):
        import torch  # late: publishing needs only the signature, and torch takes seconds to import

        self._set_threads = torch.set_num_threads  # of the calling thread
        self.count = torch.get_num_threads()
        self._decoding = 0
        self._lock = threading.Lock()
        self._decoders = ThreadPoolExecutor(self.count, "decoding")
        self._computers = ThreadPoolExecutor(min(self.count, MOST_PARTS), "computing")

    @contextmanager
    def decoding(self) -> Iterator[Callable]:
        """While a request is decoded; yields what to use for `map` over its images. It is parallel if no other request
        is being decoded; else each is decoded by its own thread, so that a large one delays no other."""
        with self._lock:
            self._decoding += 1
            is_alone = self._decoding == 1
        try:
            yield self._decoders.map if is_alone and self.count > 1 else map
        finally:
            with self._lock:
                self._decoding -= 1

    def rows(self, compute: Callable[[np.ndarray], np.ndarray], images: np.ndarray) -> np.ndarray:
        """`compute(images)`, with one row for each image; on the cores that no request is being decoded on."""
        parts = min(len(images), self.count, MOST_PARTS)
        one = partial(self.run, compute, parts=parts)
        if parts == 1:
            return one(images)
        return np.concatenate(list(self._computers.map(one, np.array_split(images, parts))))

    def run(self, function: Callable, *arguments: object, parts: int = 1):
        """`function(*arguments)` in the calling thread, with its share of the cores; it is one of `parts` that run."""
        self._set_threads(max(1, (self.count - self._decoding) // parts))
        return function(*arguments)
