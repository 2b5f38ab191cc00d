"""Two pipelines that end at once: real processes that publish to one store, from one repo or from two."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from tests.conftest import Project, free_port
from tests.presets import REPO
from tests.registry.conftest import champion
from vit.registry import lock
from vit.registry.champions import history
from vit.registry.publish import publish

pytestmark = pytest.mark.long

PUBLISH = """
import json, sys
from pathlib import Path
from tests.contents import Publisher
from vit.registry.publish import publish
folder, number = Path(sys.argv[1]), int(sys.argv[2])
rows = json.loads((folder / "rows.json").read_text())
content = Publisher(folder, rows).content(number, right=80)
print("ready", flush=True)
sys.stdin.readline()
print(publish(content, "vit").verdict)
"""


@pytest.fixture
def store(publisher, monkeypatch) -> str:
    """A database that is not the repo's own, as that of a server."""
    uri = f"sqlite:///{publisher.folder}/shared.db"
    shutil.copy(publisher.folder / "mlflow.db", publisher.folder / "shared.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return uri


def start(folder: Path, number: int, uri: str) -> subprocess.Popen:
    environment = os.environ | {"PYTHONPATH": str(REPO), "DVC_ROOT": str(folder), "MLFLOW_TRACKING_URI": uri}
    command = [sys.executable, "-c", PUBLISH, str(folder), str(number)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, cwd=folder, env=environment, text=True, **pipes)


def race(processes: list[subprocess.Popen], started) -> list[str]:
    """What both say after they were let go in the same instant; `started` is called a moment later."""
    try:
        for process in processes:
            assert process.stdout.readline() == "ready\n", process.stderr.read()
        for process in processes:
            process.stdin.write("go\n")
            process.stdin.flush()
        started()
        answers = [process.communicate(timeout=120) for process in processes]
        assert all(process.returncode == 0 for process in processes), answers
    finally:
        for process in processes:
            process.kill()
    return [output.splitlines()[-1] for output, _ in answers]  # before it a server's client prints addresses


def assert_exactly_one_leads(client: MlflowClient, said: list[str]) -> None:
    assert sorted(text.split(":")[0] for text in said) == [
        "does not replace champion " + champion(client),
        "is now champion",
    ]
    (loser,) = {"2", "3"} - {champion(client)}
    tags = client.get_model_version("vit", loser).tags
    assert (tags["gate/decision"], tags["gate/champion"]) == ("refused", champion(client))
    assert [step.version for step in history(client.get_registered_model("vit"))] == ["1", champion(client)]


def test_of_two_repos_that_publish_to_one_store_at_once_only_one_promotes(publisher, store, tmp_path):
    (publisher.folder / "rows.json").write_text(json.dumps(publisher.rows))
    shutil.copytree(publisher.folder, tmp_path / "other")
    publish(publisher.content(1, right=30), "vit")
    client = MlflowClient(store)

    def until_both_have_compared() -> None:
        # Both find champion 1, which both are better than, and then wait for the right to move the alias.
        for _ in range(600):
            if len(client.search_model_versions("name = 'vit'")) == 3:
                break
            time.sleep(0.1)
        time.sleep(5)
        assert champion(client) == "1"
        client.delete_registered_model("vit.lock")

    processes = [start(publisher.folder, 2, store), start(tmp_path / "other", 3, store)]
    client.create_registered_model("vit.lock", {"holder": "the test"})
    said = race(processes, until_both_have_compared)
    assert_exactly_one_leads(client, said)
    with pytest.raises(MlflowException, match="not found"):
        client.get_registered_model("vit.lock")


@pytest.mark.slow
def test_of_two_processes_of_one_repo_that_publish_at_once_only_one_promotes(publisher, client):
    (publisher.folder / "rows.json").write_text(json.dumps(publisher.rows))
    publish(publisher.content(1, right=30), "vit")
    uri = os.environ["MLFLOW_TRACKING_URI"]
    said = race([start(publisher.folder, 2, uri), start(publisher.folder, 3, uri)], lambda: None)
    assert_exactly_one_leads(client, said)


def test_a_lock_whose_process_was_killed_is_broken_after_a_while_and_a_held_one_is_not(publisher, store, monkeypatch):
    monkeypatch.setattr(lock, "ABANDONED", 1.0)
    client = MlflowClient(store)
    client.create_registered_model("vit.lock", {"holder": "a process that was killed"})
    began = time.monotonic()
    with lock.deciding(client, "vit"):
        assert time.monotonic() - began > 1.0
        assert "killed" not in client.get_registered_model("vit.lock").tags["holder"]
    assert client.search_registered_models("name = 'vit.lock'") == []


@pytest.mark.slow
def test_on_a_server_the_gate_fetches_what_the_champion_answered_runs_it_on_the_rest_and_takes_turns(
    publisher, tmp_path, monkeypatch
):
    port = free_port()
    uri = f"http://127.0.0.1:{port}"
    places = [f"--backend-store-uri=sqlite:///{tmp_path}/server.db", f"--artifacts-destination={tmp_path}/artifacts"]
    command = ["mlflow", "server", "--host=127.0.0.1", f"--port={port}", "--workers=1", *places]
    (publisher.folder / "rows.json").write_text(json.dumps(publisher.rows))
    shutil.copytree(publisher.folder, tmp_path / "other")
    project = Project(publisher.folder, dict(os.environ))  # a server that has its own address for a store never stops
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with project.running(" ".join(command), f"{uri}/health"):
        half = publisher.parts(val=slice(0, 50))
        publish(publisher.content(1, right=0, images=half), "vit")
        said = race([start(publisher.folder, 2, uri), start(tmp_path / "other", 3, uri)], lambda: None)
        client = MlflowClient(uri)
        assert_exactly_one_leads(client, said)
        winner = client.get_model_version("vit", champion(client))
        # It answered none of the first half right; run on the other half, it is right about some.
        assert 0 < json.loads(winner.tags["gate/numbers"])["champion_accuracy"] < 0.5
        assert client.search_registered_models("name = 'vit.lock'") == []
