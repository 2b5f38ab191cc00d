"""A web server on this machine for tests that run a real download client."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple


class Answer(NamedTuple):
    """Status, body and headers of one HTTP answer; after half of the body nothing comes for `silence` seconds.

    If `is_cut`, the connection ends there.
    """

    status: int
    body: bytes = b""
    headers: dict[str, str] = {}
    silence: float = 0
    is_cut: bool = False


@contextlib.contextmanager
def serving(answer: Callable[[str, bytes], Answer], port: int = 0) -> Iterator[str]:
    """Answer requests by their path and body until the block ends; yields the address. Port 0 takes a free one.

    A request for the end of a body gets it where the answer's headers offer that.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            status, body, headers, silence, is_cut = answer(
                self.path, self.rfile.read(int(self.headers.get("Content-Length", 0)))
            )
            if "Range" in self.headers and headers.get("Accept-Ranges") == "bytes":
                status, body = 206, body[int(self.headers["Range"].removeprefix("bytes=").removesuffix("-")) :]
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                half = len(body) // 2 if silence or is_cut else len(body)
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # nobody waited
                    self.wfile.write(body[:half])
                    time.sleep(silence)
                    if not is_cut:
                        self.wfile.write(body[half:])

        do_POST = do_HEAD = do_GET

        def log_message(self, *_):
            pass

    server = when_free(lambda: ThreadingHTTPServer(("127.0.0.1", port), Handler))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def when_free(bind: Callable, patience: float = 60):
    """Call `bind` until its port is free: another checkout's tests may hold it for some seconds."""
    give_up = time.monotonic() + patience
    while True:
        try:
            return bind()
        except OSError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.2)
