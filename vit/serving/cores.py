"""How many threads a request computes with."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Cores:
    """The cores of the machine, shared by the requests that are computed at the same time.

    A request alone has all of them. Among several, more threads than cores would only wait for each other.
    """

    def __init__(self):
        import torch  # late: publishing needs the signature alone, and torch costs seconds

        self.set_threads = torch.set_num_threads  # of the calling thread
        self.count = torch.get_num_threads()
        self.requests = 0
        self.lock = threading.Lock()

    @contextmanager
    def share(self) -> Iterator[None]:
        with self.lock:
            self.requests += 1
            requests = self.requests
        self.set_threads(max(1, self.count // requests))
        try:
            yield
        finally:
            with self.lock:
                self.requests -= 1
