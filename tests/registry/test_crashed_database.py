"""The database behind MLflow's server crashes while a server follows the champion."""

import base64
import json
import signal
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from tests.conftest import Project, documented, free_port
from tests.postgres import NO_CLIENT, Postgres
from tests.registry.conftest import evaluated_content, within
from tests.serving.conftest import clean_environment
from vit.registry.publish import publish

pytestmark = [pytest.mark.slow, pytest.mark.skipif(NO_CLIENT is not None, reason=str(NO_CLIENT))]

CRASHES = 2


@dataclass
class Asking:
    """Asks a server again and again: the versions that answered, in order, and the requests that failed."""

    port: int
    image: Path
    versions: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def ask(self) -> None:
        body = json.dumps({"inputs": [base64.b64encode(self.image.read_bytes()).decode()]}).encode()
        address = f"http://127.0.0.1:{self.port}/invocations"
        request = urllib.request.Request(address, body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                self.versions.append(json.loads(response.read())["predictions"][0]["model_version"])
        except OSError as error:
            self.failed.append(repr(error))

    @contextmanager
    def throughout(self) -> Iterator[None]:
        ended = threading.Event()

        def work() -> None:
            while not ended.wait(0.05):
                self.ask()

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def wait_until(what: str, holds: Callable[[], bool]) -> None:
    ends = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < ends, what
        time.sleep(0.1)


@pytest.fixture
def database(tmp_path) -> Iterator[Postgres]:
    with Postgres(tmp_path / "postgres") as started:
        yield started


@pytest.fixture
def store(database, tmp_path) -> Iterator[str]:
    """The address of MLflow's server in front of the database."""
    (tmp_path / "mlflow").mkdir()
    address = f"http://127.0.0.1:{(port := free_port())}"
    server = f"mlflow server --backend-store-uri {database.uri} --artifacts-destination {tmp_path}/artifacts"
    project = Project(tmp_path / "mlflow", clean_environment())
    with project.running(f"{server} --host 127.0.0.1 --port {port} --workers 1", f"{address}/health"):
        yield address


@pytest.fixture
def client(store, publisher) -> Iterator[MlflowClient]:
    """A registry in that store with versions 1, the champion, and 2."""
    with within(publisher.folder), pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", store)
        before = mlflow.get_tracking_uri()
        for number in (1, 2):
            publish(evaluated_content(publisher, number), "vit")
        client = MlflowClient(store)
        client.set_registered_model_alias("vit", "champion", "1")
        yield client
        mlflow.set_tracking_uri(before)


def test_a_database_that_crashes_costs_a_following_server_no_request_and_it_follows_when_it_is_back(
    database, store, client, publisher, tmp_path, capsys
):
    (folder := tmp_path / "server").mkdir()
    project = Project(folder, clean_environment() | {"MLFLOW_TRACKING_URI": store})
    asking = Asking(port := free_port(), publisher.folder / "raw0" / publisher.rows[3]["path"])
    command = documented("MLFLOW_PYFUNC_INFERENCE_CONFIG='{\"follow").replace('n"}', 'n", "follow_seconds": 0.5}')

    def complaints() -> list[str]:
        return [line for line in project.read("logs/server.txt").splitlines() if "cannot be read" in line]

    with project.running(f"env {command} --port {port}", f"http://127.0.0.1:{port}/ping"), asking.throughout():
        for crash in range(CRASHES):
            serves, next_one = ("1", "2") if crash % 2 == 0 else ("2", "1")
            database.stop(signal.SIGQUIT)
            wait_until("it says nothing", lambda before=crash: len(complaints()) > before)
            while_away = len(asking.versions)
            wait_until("it answers nothing", lambda before=while_away: len(asking.versions) >= before + 20)
            assert set(asking.versions[while_away:]) == {serves}
            database.start()
            client.set_registered_model_alias("vit", "champion", next_one)
            wait_until("it does not follow", lambda wanted=next_one: asking.versions[-1] == wanted)
    assert asking.failed == [] and len(complaints()) == CRASHES
    assert "version 1 goes on" in complaints()[0] and "version 2 goes on" in complaints()[1]
    assert sorted(str(one.version) for one in client.search_model_versions("name = 'vit'")) == ["1", "2"]
    with capsys.disabled():
        print(f"\n{len(asking.versions)} requests over {CRASHES} crashes, none failed")
