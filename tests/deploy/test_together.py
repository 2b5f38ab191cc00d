"""What compose.yaml starts in profile full, as processes on this machine: it serves, and answers nobody unknown."""

import base64
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import REPO, free_port
from tests.deploy import servers
from tests.deploy.images import Process, missing, size
from tests.deploy.test_files import compose
from tests.postgres import Postgres

pytestmark = [pytest.mark.slow, pytest.mark.skipif(missing() is not None, reason=str(missing()))]

NAMES = ("admin_password", "serve_password", "client_password", "database_password", "store_key", "mlflow_key")


def environment(service: str, **changes: str) -> dict[str, str]:
    """What compose.yaml sets for a service, with these values in place of names that only its network knows."""
    values = compose()["services"][service]["environment"]
    values = {key: re.sub(r"\$\{\w+:-(.*?)\}", r"\1", value) for key, value in values.items()}  # the default
    assert changes.keys() <= values.keys() | {"PORT"}, "the test sets what compose.yaml does not"
    return values | changes


@dataclass
class Started:
    """What compose.yaml starts in profile full: addresses through the proxy, passwords, processes."""

    serve: str
    mlflow: str
    bucket: str
    secrets: Mapping[str, str]
    server: Process
    seconds: float
    project: Path


@pytest.fixture(scope="module")
def secrets(tmp_path_factory) -> Path:
    folder = shutil.copytree(REPO / "deploy", tmp_path_factory.mktemp("copy") / "deploy")
    shutil.rmtree(folder / "secrets", ignore_errors=True)
    subprocess.run([folder / "make-secrets"], check=True)
    folder.joinpath("secrets").chmod(0o755)  # compose mounts the files, here it is the folder
    return folder / "secrets"


@pytest.fixture(scope="module")
def started(images, built, secrets, tmp_path_factory) -> Iterator[Started]:
    """Database, bucket, MLflow, trainer, server and proxy, from nothing until the first prediction."""
    if (reason := servers.missing()) is not None:
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("up")
    values = {name: (secrets / name).read_text() for name in NAMES}
    ports, https = ({name: free_port() for name in ("mlflow", "serve", "studio")} for _ in range(2))
    project = folder / "project"
    project.mkdir()
    os.chown(project, 10001, 10001)
    volumes = {secrets: "/run/secrets"}
    here = f"http://127.0.0.1:{ports['mlflow']}"
    with ExitStack() as stack:
        enter = stack.enter_context
        began = time.monotonic()
        database = enter(Postgres(folder / "postgres", values["database_password"]))
        store = enter(servers.bucket(folder / "bucket", secrets / "store_key"))
        env = environment(
            "mlflow",
            VIT_DATABASE=f"postgresql+psycopg2://mlflow@127.0.0.1:{database.port}/mlflow",
            MLFLOW_S3_ENDPOINT_URL=f"http://127.0.0.1:{store}",
            ALLOWED_HOSTS=f"127.0.0.1:{ports['mlflow']},localhost:{https['mlflow']}",
            PORT=str(ports["mlflow"]),
        )
        enter(images.running("tracking", folder / "mlflow.txt", env, volumes, url=f"{here}/health"))
        env = environment("serve", MLFLOW_TRACKING_URI=here, PORT=str(ports["serve"]))
        server = enter(images.running("serve", folder / "serve.txt", env, volumes))
        env = environment("trainer", MLFLOW_TRACKING_URI=here)
        at_project = volumes | {project: "/project"}
        trainer = enter(images.running("train", folder / "train.txt", env, at_project))
        env = {name.upper(): f"127.0.0.1:{ports[name]}" for name in ports}
        env |= {f"{name.upper()}_PORT": str(https[name]) for name in https}
        enter(servers.proxy(folder / "caddy", secrets / "client_password", env))
        assert trainer.popen.wait(timeout=900) == 0, trainer.log.read_text()
        while (ready := server.run("python", "/opt/vit/ready.py")).returncode != 0:
            assert server.popen.poll() is None, server.log.read_text()
            assert time.monotonic() < began + 1200, ready.stderr
            time.sleep(0.5)
        address, mlflow = f"https://localhost:{https['serve']}/invocations", f"https://localhost:{https['mlflow']}"
        yield Started(address, mlflow, f"http://127.0.0.1:{store}", values, server, time.monotonic() - began, project)


TRUSTING = ssl._create_unverified_context()  # the proxy's own authority signed its certificate


def ask(address: str, body: bytes | None, login: str | None = None) -> tuple[int, bytes]:
    headers = {"Content-Type": "application/json"}
    if login is not None:
        headers["Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
    request = urllib.request.Request(address, body, headers)
    try:
        with urllib.request.urlopen(request, timeout=60, context=TRUSTING) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read()


def an_image(project: Path) -> bytes:
    file = min((project / "data/raw/3").iterdir())
    return json.dumps({"inputs": [base64.b64encode(file.read_bytes()).decode()]}).encode()


def test_one_start_trains_publishes_and_serves_the_first_champion(started, capsys):
    status, body = ask(started.serve, an_image(started.project), f"client:{started.secrets['client_password']}")
    (prediction,) = json.loads(body)["predictions"]
    assert status == 200 and prediction["label"] == "3" and prediction["model_version"] == "1"
    with capsys.disabled():
        print(f"\nfrom the start to the first prediction: {started.seconds:.0f} s")


def test_a_request_to_the_server_without_password_gets_401_before_its_body_is_read(started):
    body = an_image(started.project)
    for login in (None, "client:wrong", f"admin:{started.secrets['client_password']}", "client:"):
        assert ask(started.serve, body, login) == (401, b"")
    host, port = started.serve.removeprefix("https://").removesuffix("/invocations").split(":")
    with TRUSTING.wrap_socket(socket.create_connection((host, int(port)), timeout=10), server_hostname=host) as sent:
        sent.sendall(f"POST /invocations HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: 30000000\r\n\r\n".encode())
        assert sent.recv(100).startswith(b"HTTP/1.1 401")  # not a byte of the body was sent


def test_a_body_above_the_limit_is_refused_by_the_proxy(started):
    login = f"client:{started.secrets['client_password']}"
    status, body = ask(started.serve, b" " * (33554432 + 1), login)
    assert status == 413 and b"predictions" not in body


def test_the_bucket_has_the_model_and_shows_it_to_nobody_without_the_key(started):
    folder = started.project.parent
    assert size(folder / "bucket") > 1e-4  # GB
    for place in ("", "mlflow", "mlflow?list-type=2&prefix=artifacts"):
        status, body = ask(f"{started.bucket}/{place}", None)
        assert status == 403 and b"artifacts/" not in body, place


READS = ("experiments/search", "registered-models/search", "runs/search")


def test_a_request_to_mlflow_without_account_gets_401_and_reads_nothing(started):
    places = [f"api/2.0/mlflow/{name}" for name in READS]
    places += ["", "api/2.0/mlflow-artifacts/artifacts", "ajax-api/2.0/mlflow/experiments/search", "graphql"]
    for place in places:
        for login in (None, "serve:wrong", "admin:password1234"):  # the last was MLflow's default
            for body in (None, b"{}"):
                status, answer = ask(f"{started.mlflow}/{place}", body, login)
                assert status == 401 and b"vit" not in answer.lower(), (place, login, answer)


def test_the_account_of_the_server_reads_the_registry_but_changes_nothing(started):
    login = f"serve:{started.secrets['serve_password']}"
    api = f"{started.mlflow}/api/2.0/mlflow"
    status, body = ask(f"{api}/registered-models/alias?name=vit&alias=champion", None, login)
    assert status == 200 and json.loads(body)["model_version"]["version"] == "1"
    moved = json.dumps({"name": "vit", "alias": "champion", "version": "1"}).encode()
    assert ask(f"{api}/registered-models/alias", moved, login)[0] == 403
    assert ask(f"{api}/experiments/create", b'{"name": "mine"}', login)[0] == 403
    assert ask(f"{api}/registered-models/create", b'{"name": "mine"}', login)[0] == 403


def test_no_log_holds_a_secret(started):
    folder = started.project.parent
    logs = [*folder.glob("*.txt"), *folder.glob("*/log")]
    assert len(logs) == 6
    told = [(log.name, name) for log in logs for name, value in started.secrets.items() if value in log.read_text()]
    assert told == []


def test_the_server_writes_nothing_outside_tmp_and_ends_at_sigterm(started):
    for place in ("/opt/vit/x", "/x", "/opt/venv/x"):
        assert "Read-only file system" in started.server.run("touch", place).stderr
    began = time.monotonic()
    assert started.server.stop() == 0 and time.monotonic() - began < 10
