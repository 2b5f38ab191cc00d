import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote

import mlflow
import pytest
from mlflow import MlflowClient

from tests.contents import Publisher
from tests.presets import write_preset
from vit.config.files import VAL_SAMPLE
from vit.data.batches import Packed
from vit.data.images import load_image, settings_of
from vit.data.manifest import Row
from vit.evaluation.val_sample import write_val_sample
from vit.files import read_table, sha256_of, write_table
from vit.inference.classifier import Classifier
from vit.registry.gate import CHAMPION
from vit.registry.publish import Content, publish
from vit.tracking.store import open_store


@contextmanager
def within(folder: Path) -> Iterator[None]:
    """Work in the repo `folder` and its own store."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_ROOT", str(folder))
        patch.setenv("MLFLOW_TRACKING_URI", "")  # unset; MLflow exports it, which must not outlive the test
        patch.chdir(folder)
        yield


@pytest.fixture(scope="session")
def new_repo(tmp_path_factory) -> Publisher:
    """A repo with drawn images, the shapes preset and an empty store: MLflow takes seconds to create its tables."""
    folder = tmp_path_factory.mktemp("new") / "repo"
    folder.mkdir()
    with within(folder):
        open_store()
    write_preset(folder / "params.yaml", "shapes")
    return Publisher.new(folder)


@pytest.fixture(scope="session")
def repo_with_three(new_repo, tmp_path_factory) -> Path:
    """A repo whose versions 1, 2 and 3 are right about 30, 60 and 90 of 100 val images; each took the lead."""
    folder = tmp_path_factory.mktemp("three") / "repo"
    shutil.copytree(new_repo.folder, folder)
    with within(folder):
        for number, right in ((1, 30), (2, 60), (3, 90)):
            publish(Publisher(folder, new_repo.rows).content(number, right), "vit")
    return folder


@pytest.fixture
def publisher(new_repo, tmp_path) -> Iterator[Publisher]:
    """Contents to publish to a store of its own."""
    shutil.copytree(new_repo.folder, tmp_path / "repo")
    with within(tmp_path / "repo"):
        yield Publisher(tmp_path / "repo", new_repo.rows)


@pytest.fixture
def three(publisher, repo_with_three) -> list[Content]:
    """The contents of the three versions in the publisher's store, of which the third is champion."""
    shutil.copytree(repo_with_three, publisher.folder, dirs_exist_ok=True)
    return [publisher.content(number, right) for number, right in ((1, 30), (2, 60), (3, 90))]


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


def evaluated_content(publisher: Publisher, number: int) -> Content:
    """A content with weights of its own, and the predictions of its model for val."""
    import safetensors.torch
    import torch

    made = publisher.content(number, right=50)
    weights = made.model_folder / "model.safetensors"
    torch.manual_seed(number)
    drawn = {name: tensor + 0.2 * torch.randn_like(tensor) for name, tensor in tensors_of(weights).items()}
    safetensors.torch.save_file(drawn, weights)
    rows = read_table(made.candidacy.predictions)
    found = Classifier.load(made.model_folder).classify([publisher.folder / "raw0" / row["path"] for row in rows])
    for row, one in zip(rows, found, strict=True):
        row |= {"prediction": one["label"]} | {f"p_{name}": share for name, share in one["probabilities"].items()}
    write_table(made.candidacy.predictions, rows)
    write_sample(made, publisher.folder / "raw0")
    return replace(made, files_key=sha256_of(weights, made.candidacy.predictions))


def write_sample(made: Content, raw: Path) -> None:
    """The sample of val that `evaluate` would write beside the predictions."""
    import numpy as np
    import torch

    classifier = Classifier.load(made.model_folder)
    rows = [Row(*(row[name] for name in Row._fields)) for row in read_table(made.candidacy.predictions)]
    images = np.stack([load_image(raw / row.path, **settings_of(classifier.config)) for row in rows])
    val = Packed(torch.from_numpy(images), torch.zeros(len(rows)))
    write_val_sample(made.candidacy.predictions.with_name(VAL_SAMPLE), classifier, val, rows, raw)


def tensors_of(weights: Path) -> dict:
    import safetensors.torch

    return {name: tensor.clone() for name, tensor in safetensors.torch.load_file(weights).items()}


@dataclass
class Registry:
    """A registry with versions 1 and 2, and a request that they answer differently."""

    folder: Path
    client: MlflowClient
    image: Path

    def files(self, number: str) -> Path:
        return Path(unquote(self.client.get_model_version_download_uri("vit", number).removeprefix("file://")))

    def point_to(self, number: str) -> None:
        self.client.set_registered_model_alias("vit", "champion", number)

    def right(self, number: str) -> dict[str, float]:
        (answer,) = Classifier.load(self.files(number) / "artifacts/model").classify([self.image])
        return answer["probabilities"]

    def damaged(self, name: str, damage) -> str:
        """A new version: the files of version 2 after `damage`."""
        copy = self.folder / f"damaged {name}"
        shutil.copytree(self.files("2"), copy)
        damage(copy)
        return str(self.client.create_model_version("vit", copy.as_uri()).version)


@pytest.fixture(scope="module")
def registry(new_repo, tmp_path_factory) -> Iterator[Registry]:
    folder = tmp_path_factory.mktemp("following") / "repo"
    shutil.copytree(new_repo.folder, folder)
    with within(folder), pytest.MonkeyPatch.context() as patch:
        publisher = Publisher(folder, new_repo.rows)
        for number in (1, 2):
            publish(evaluated_content(publisher, number), "vit")
        store = f"sqlite:///{folder}/mlflow.db"
        before = mlflow.get_tracking_uri()
        patch.setenv("MLFLOW_SQLALCHEMYSTORE_POOLCLASS", "NullPool")
        mlflow.set_tracking_uri(store)
        yield Registry(folder, MlflowClient(store), folder / "raw0" / new_repo.rows[3]["path"])
        mlflow.set_tracking_uri(before)
