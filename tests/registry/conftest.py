import json
import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.contents import Publisher
from tests.presets import write_preset
from vit.registry.gate import CHAMPION
from vit.tracking.store import open_store


@pytest.fixture(scope="session")
def new_repo(tmp_path_factory) -> Publisher:
    """A repo with drawn images and an empty store, to be copied: MLflow takes seconds to create its tables."""
    folder = tmp_path_factory.mktemp("new") / "repo"
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_ROOT", str(folder))
        patch.setenv("MLFLOW_TRACKING_URI", "")
        open_store()
    write_preset(folder / "params.yaml", "shapes")
    return Publisher.new(folder)


@pytest.fixture
def publisher(new_repo, tmp_path, monkeypatch) -> Publisher:
    """Contents to publish to a store of its own, in a repo whose params.yaml is the shapes preset."""
    shutil.copytree(new_repo.folder, tmp_path / "repo")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "repo"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")  # unset; MLflow exports it, which must not outlive the test
    monkeypatch.chdir(tmp_path / "repo")
    return Publisher(tmp_path / "repo", new_repo.rows)


@pytest.fixture
def client(publisher) -> MlflowClient:
    return MlflowClient(f"sqlite:///{publisher.folder}/mlflow.db")


def champion(client: MlflowClient) -> str | None:
    number = client.get_registered_model("vit").aliases.get(CHAMPION)
    return None if number is None else str(number)


def set_champion_by_other_means(client: MlflowClient, number: str) -> None:
    client.set_registered_model_alias("vit", CHAMPION, number)


def numbers(client: MlflowClient, number: str) -> dict:
    """What the gate's verdict on a version rested on."""
    return json.loads(client.get_model_version("vit", number).tags["gate/numbers"])


def all_that_is_kept(folder: Path) -> list[tuple]:
    """Every version's tags, aliases and description."""
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    versions = client.search_model_versions("name = 'vit'")
    return sorted((int(one.version), one.tags, one.aliases, one.description) for one in versions)
