"""A server's own webhooks, made as the guide says, tell of a new champion and of an alarm, signed."""

import base64
import hashlib
import hmac
import json
import os
import re
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import mlflow
import pytest
from cryptography.fernet import Fernet

from tests.conftest import REPO, Project, documented, free_port
from vit.monitoring.published import end_alarm, raise_alarm

SECRET = "of the receiver"


class Receiver(ThreadingHTTPServer):
    """Keeps the headers and body of every request."""

    def __init__(self):
        self.received: list[tuple[dict[str, str], str]] = []
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def until(self, count: int) -> list[tuple[dict[str, str], str]]:
        for _ in range(600):
            if len(self.received) >= count:
                return self.received
            time.sleep(0.05)
        raise AssertionError(self.received)


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.received.append((dict(self.headers), body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.shutdown()
    receiver.server_close()


@pytest.mark.slow
def test_a_new_champion_and_an_alarm_are_told_and_signed(receiver, tmp_path, monkeypatch):
    address = f"http://127.0.0.1:{(port := free_port())}"
    hook = f"http://127.0.0.1:{receiver.server_port}/vit"
    # Only a test talks to this machine, without encryption.
    allowed = {"MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http", "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true"}
    allowed["MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY"] = Fernet.generate_key().decode()
    server = f"{documented('mlflow ui').replace(' ui', ' server')} --host 127.0.0.1 --port {port} --workers 1"
    server += f" --backend-store-uri sqlite:///{tmp_path}/server.db --artifacts-destination {tmp_path}/artifacts"
    project = Project(tmp_path, dict(os.environ))
    with project.running(server, f"{address}/health", **allowed):
        guide = (REPO / "docs/guides/keep-it-fresh.md").read_text(encoding="utf-8")
        (snippet,) = re.findall(r"^```python\n(.*?)^```", guide, re.M | re.S)
        for documented_one, here in (
            ("https://mlflow.example.org", address),
            ("https://hooks.example.org/vit", hook),
            ('"..."', repr(SECRET)),
        ):
            assert snippet.count(documented_one) == 1
            snippet = snippet.replace(documented_one, here)
        exec(snippet, {})
        client = mlflow.MlflowClient(address)
        client.create_registered_model("vit")
        run = client.create_run("0")
        client.create_model_version("vit", f"{run.info.artifact_uri}/model", run.info.run_id)
        client.set_registered_model_alias("vit", "champion", "1")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        monkeypatch.chdir(tmp_path)
        raise_alarm("vit", "2 turns of vit keep failed: no such folder")
        received = receiver.until(2)
        end_alarm("vit")
        assert client.get_model_version("vit", "1").tags == {}
    champion, alarm = sorted((json.loads(body) for _, body in received), key=lambda told: told["entity"])
    assert (champion["entity"], champion["action"]) == ("model_version_alias", "created")
    assert champion["data"] == {"name": "vit", "alias": "champion", "version": "1"}
    assert (alarm["entity"], alarm["action"]) == ("model_version_tag", "set")
    assert alarm["data"] | {"value": ""} == {"name": "vit", "version": "1", "key": "alarm/keep", "value": ""}
    assert alarm["data"]["value"] == "2 turns of vit keep failed: no such folder"
    for headers, body in received:
        signed = f"{headers['X-MLflow-Delivery-Id']}.{headers['X-MLflow-Timestamp']}.{body}".encode()
        right = base64.b64encode(hmac.new(SECRET.encode(), signed, hashlib.sha256).digest()).decode()
        assert headers["X-MLflow-Signature"] == f"v1,{right}"
