"""The number of threads that a request computes with."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Cores:
    """The machine's cores, shared by concurrent requests.

    A single request uses all of them. With several, more threads than cores would only wait for each other.
    """

    def __init__(self):
        import torch  # late: publishing needs only the signature, and torch takes seconds to import

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
