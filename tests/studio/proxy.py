"""A reverse proxy on this machine that names the user: a browser adds no headers of its own to a websocket."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

PIECE = 64 * 1024


@contextmanager
def naming(address: str, header: str) -> Iterator[str]:
    """The address of a proxy of `address`, which adds `header` to the first request of each connection."""
    target = ("127.0.0.1", int(address.rpartition(":")[2]))
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        with suppress(OSError):  # it is closed
            while True:
                client, _ = listener.accept()
                server = socket.create_connection(target)
                threading.Thread(target=pass_on, args=(client, server, f"{header}\r\n".encode()), daemon=True).start()
                threading.Thread(target=pass_on, args=(server, client), daemon=True).start()

    def pass_on(source: socket.socket, sink: socket.socket, added: bytes = b"") -> None:
        with suppress(OSError):
            while piece := source.recv(PIECE):
                if added:
                    line, end, rest = piece.partition(b"\r\n")
                    piece, added = line + end + added + rest, b""
                sink.sendall(piece)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
