"""A slow connection to a server on this machine: TCP with a given bandwidth and a delay before each request."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

PIECE = 64 * 1024


class Link:
    """Bandwidth in bytes per second that all connections share, and seconds that every request waits."""

    def __init__(self, target: tuple[str, int], bandwidth: float, delay: float):
        self.target, self.bandwidth, self.delay = target, bandwidth, delay
        self.transferred = 0  # bytes from the server
        self._free_at = 0.0
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def serve(self) -> None:
        """Until `close`."""
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self.target)
                threading.Thread(target=self._up, args=(client, server), daemon=True).start()
                threading.Thread(target=self._down, args=(server, client), daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _up(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while content := client.recv(PIECE):
                time.sleep(self.delay)
                server.sendall(content)
        with suppress(OSError):
            server.shutdown(socket.SHUT_WR)

    def _down(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while content := server.recv(PIECE):
                with self._lock:
                    self.transferred += len(content)
                    self._free_at = max(self._free_at, time.monotonic()) + len(content) / self.bandwidth
                    free_at = self._free_at
                time.sleep(max(0.0, free_at - time.monotonic()))
                client.sendall(content)
        with suppress(OSError):
            client.shutdown(socket.SHUT_WR)


@contextmanager
def slow_link(target: tuple[str, int], bandwidth: float, delay: float) -> Iterator[Link]:
    """A link to `target` until the block ends."""
    link = Link(target, bandwidth, delay)
    threading.Thread(target=link.serve, daemon=True).start()
    try:
        yield link
    finally:
        link.close()
