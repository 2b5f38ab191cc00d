"""The weights that torchvision publishes: its own downloader, before a server on this machine."""

import hashlib
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torchvision import models

from stages.weights import fetch_weights
from tests.local_server import Answer, serving
from vit.config.model import ModelParams
from vit.errors import UserError
from vit.inference.classifier import Classifier
from vit.training import torchvision_weights
from vit.training.initial import initialize
from vit.training.pretrained_params import find_pretrained

pytestmark = pytest.mark.long

NAME = "squeezenet1_1"  # the smallest that torchvision has, 5 MB


class Server:
    """Hands out a file, the first times damaged; counts what it was asked for."""

    def __init__(self, file: bytes, damaged: int = 0):
        self.file, self.damaged, self.asked = file, damaged, 0

    def __call__(self, path: str, body: bytes) -> Answer:
        self.asked += 1
        return Answer(200, self.file[: -1 if self.asked <= self.damaged else None])


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return models.get_model(NAME, weights=None).state_dict()


@pytest.fixture
def published(state, tmp_path, monkeypatch):
    """A function that makes torchvision's address of the weights one on this machine, and an empty cache."""
    content = BytesIO()
    torch.save(state, content)
    file = content.getvalue()
    entry = models.get_model_weights(NAME).DEFAULT
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torchvision_weights, "TIME_LIMIT", 1)

    def publish(address: str) -> bytes:
        name = f"{NAME}-{hashlib.sha256(file).hexdigest()[:8]}.pth"
        monkeypatch.setattr(entry, "_value_", replace(entry.value, url=f"{address}/{name}"))
        return file

    return publish


def fetch(folder: Path, named: str = f"torchvision:{NAME}") -> dict:
    folder.mkdir(exist_ok=True)
    return fetch_weights(named, folder, "train.init_from", Path("absent.csv"))


def test_the_weights_arrive_by_their_digest_and_then_come_from_the_cache(published, state, tmp_path):
    server = Server(published(""), damaged=2)
    with serving(server) as address:
        published(address)
        known = fetch(tmp_path / "out")
        assert server.asked == 3  # twice damaged
    assert fetch(tmp_path / "again") == known  # without a server
    assert known["title"] == "SqueezeNet1_1_Weights.IMAGENET1K_V1" and known["images_seen"] == "unknown"
    assert list(known["files"].values()) == [hashlib.sha256(server.file).hexdigest()]
    arrived = safetensors.torch.load_file(tmp_path / "out/model.safetensors")
    assert arrived.keys() == state.keys() and all(torch.equal(arrived[name], state[name]) for name in state)


def test_what_never_arrives_whole_is_refused_in_one_line(published, tmp_path):
    with serving(Server(published(""), damaged=9)) as address:
        published(address)
        with pytest.raises(UserError, match=rf"torchvision:{NAME} cannot be downloaded .*invalid hash value") as caught:
            fetch(tmp_path / "out")
    assert "\n" not in str(caught.value) and not (tmp_path / "out/model.safetensors").exists()


def test_a_name_that_torchvision_does_not_have_is_refused_with_similar_ones(tmp_path):
    with pytest.raises(UserError, match=r"torchvision has no weights of this name; similar: torchvision:squeezenet1_"):
        fetch(tmp_path / "out", "torchvision:squeezenet")


def test_a_training_begins_with_all_but_the_head(published, state, tmp_path):
    with serving(Server(published(""))) as address:
        published(address)
        fetch(tmp_path / "out")
        pretrained = find_pretrained(f"torchvision:{NAME}", "--from")
    assert pretrained.model == {"name": f"torchvision/{NAME}"}
    assert (pretrained.pack["crop_pct"], pretrained.pack["interpolation"]) == (0.875, "bilinear")
    config = {"image_size": [64, 64], "channels": 3, "classes": ["a", "b"], "mean": [0.5] * 3, "std": [0.5] * 3}
    config |= {"model": pretrained.model, "compute": {"attention": "math"}}
    classifier = Classifier.new(config, torch.device("cpu"))
    said = initialize(classifier, tmp_path / "out")
    assert said == ["new head for 2 classes, because the classes of the weights are unknown"]
    begun = classifier.model.state_dict()
    assert {name for name in state if not torch.equal(begun[name], state[name])} == {
        "classifier.1.weight", "classifier.1.bias"
    }  # fmt: skip


def test_weights_that_belong_to_another_model_are_refused(published, tmp_path):
    with serving(Server(published(""))) as address:
        published(address)
        fetch(tmp_path / "out")
    config = {"image_size": [64, 64], "channels": 3, "classes": ["a"], "model": ModelParams(name="cnn").model_dump()}
    config |= {"mean": [0.5] * 3, "std": [0.5] * 3, "compute": {"attention": "math"}}
    with pytest.raises(UserError, match=r"train\.init_from does not fit the model"):
        initialize(Classifier.new(config, torch.device("cpu")), tmp_path / "out")
