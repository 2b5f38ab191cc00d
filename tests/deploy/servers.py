"""What compose.yaml takes from others, as processes: SeaweedFS with the same options, Caddy with the same file."""

import os
import re
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlsplit

from tests.conftest import REPO, free_port
from tests.deploy.test_files import compose
from tests.postgres import NO_POSTGRES

PROGRAMS = Path(sys.executable).parent


def missing() -> str | None:
    """Why they cannot be started here."""
    if NO_POSTGRES:
        return NO_POSTGRES
    absent = [name for name in ("weed", "caddy") if not (PROGRAMS / name).exists()]
    return f"{' and '.join(absent)} of requirements-deploy-test.txt are not installed" if absent else None


@contextmanager
def running(command: list, log: Path, env: Mapping[str, str]) -> Iterator[subprocess.Popen]:
    """A server until the block ends; `log` gets what it prints."""
    with log.open("w") as output:
        server = subprocess.Popen(command, env=env, stdout=output, stderr=output, cwd=log.parent)
        try:
            yield server
        finally:
            server.terminate()
            server.wait(timeout=30)


@contextmanager
def bucket(folder: Path, key: Path) -> Iterator[int]:
    """SeaweedFS by the options of compose.yaml; yields the port of its S3."""
    service = compose()["services"]["store"]
    found = re.search(r"/entrypoint.sh (mini .*)", service["command"][0])
    assert found is not None
    ports = {name: free_port() for name in ("master", "filer", "volume", "s3", "admin")}
    options = found[1].replace("/data", str(folder)).replace("0.0.0.0", "127.0.0.1").split()
    options += ["-ip=127.0.0.1", *(f"-{name}.port={port}" for name, port in ports.items())]
    options += [f"-{name}.port.grpc={free_port()}" for name in ports]
    folder.mkdir()
    env = os.environ | service["environment"] | {"AWS_SECRET_ACCESS_KEY": key.read_text()}
    with running([PROGRAMS / "weed", *options], folder / "log", env) as server:
        address = f"http://127.0.0.1:{ports['s3']}"
        wait_for(address, server, folder / "log")
        wait_until(lambda: urllib.request.urlopen(f"{address}/healthz", timeout=5).close(), URLError)
        yield ports["s3"]


@contextmanager
def proxy(folder: Path, password: Path, env: Mapping[str, str]) -> Iterator[None]:
    """Caddy with deploy/Caddyfile for localhost, and the variables that compose.yaml and the file name."""
    folder.mkdir()
    settings = folder / "Caddyfile"  # but for the port that redirects to TLS, and the machine's list of authorities
    own = f"admin off\n\thttp_port {free_port()}\n\tskip_install_trust"
    settings.write_text((REPO / "deploy/Caddyfile").read_text().replace("admin off", own))
    hashed = subprocess.run(
        [PROGRAMS / "caddy", "hash-password"], input=f"{password.read_text()}\n", capture_output=True, text=True
    ).stdout.strip()
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "CLIENT_HASH": hashed, "VIT_HOST": "localhost"} | env
    with running([PROGRAMS / "caddy", "run", "--config", settings], folder / "log", env) as server:
        port = int(env["SERVE_PORT"])
        wait_for(f"https://127.0.0.1:{port}", server, folder / "log")
        wait_until(lambda: ssl.get_server_certificate(("localhost", port)), ssl.SSLError)  # it makes one first
        yield


def wait_for(url: str, server: subprocess.Popen, log: Path) -> None:
    """Return when something listens at the host and port of `url`; it has five minutes, for a busy machine."""
    address = urlsplit(url)
    for _ in range(3000):
        with socket.socket() as asked:
            if asked.connect_ex((address.hostname, address.port)) == 0:
                return
        assert server.poll() is None, log.read_text()
        time.sleep(0.1)
    raise AssertionError(f"nothing listens at {url}\n{log.read_text()}")


def wait_until(succeeds: Callable[[], object], error: type[Exception]) -> None:
    """Call it until it no longer raises this error, as a server listens before it answers; for five minutes."""
    for _ in range(600):
        try:
            succeeds()
            return
        except error:
            time.sleep(0.5)
    succeeds()
