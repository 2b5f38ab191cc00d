"""A served model that follows an alias of a real registry: what it swaps to, what it refuses, and what it outlives."""

import base64
import gc
import logging
import re
import shutil
import weakref
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import mlflow
import pandas as pd
import pytest
import safetensors.torch
import torch
from mlflow import MlflowException
from mlflow.pyfunc import PythonModelContext
from mlflow.store.artifact.models_artifact_repo import REGISTERED_MODEL_META_FILE_NAME

from tests.registry.conftest import tensors_of
from vit.files import read_json, read_table, write_json
from vit.serving.cores import Cores
from vit.serving.following import Follower, load_version
from vit.serving.pyfunc import ServedClassifier
from vit.serving.settings import Following, split_settings

pytestmark = pytest.mark.long


@dataclass
class Server:
    """The served model, and its follower without the thread: a test says when it asks."""

    model: ServedClassifier
    follower: Follower
    image: Path

    def ask(self) -> tuple[str, dict[str, float]]:
        """Version and probabilities of an answer."""
        texts = [base64.b64encode(self.image.read_bytes()).decode()]
        (answer,) = self.model.predict(None, pd.DataFrame({"image": texts}))
        return answer["model_version"], answer["probabilities"]


@pytest.fixture
def server(registry, caplog) -> Server:
    """It serves version 1, which is champion."""
    caplog.set_level(logging.WARNING, "vit.serving")
    registry.point_to("1")
    load = partial(load_version, cores=Cores(), overrides={})
    model = ServedClassifier()
    model.serving = load(registry.files("1"), "1")
    return Server(model, Follower("vit", Following("champion", 1), model.serving, load, model.swap), registry.image)


def near(probabilities: dict[str, float]):
    return pytest.approx(probabilities, abs=1e-6)


def test_it_answers_with_the_version_that_the_alias_points_to_and_rolls_back_with_it(registry, server):
    assert registry.right("1") != pytest.approx(registry.right("2"), abs=0.01)
    for number in ("2", "1", "2"):
        registry.point_to(number)
        before = server.ask()
        server.follower.turn()
        assert server.ask() == (number, near(registry.right(number))) != before


def change(file: Path, **values) -> None:
    write_json(file, read_json(file) | values)


def cut(folder: Path) -> None:
    weights = folder / "artifacts/model/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def off(folder: Path) -> None:
    file = folder / "golden/probabilities.json"
    recorded = read_json(file)
    name, expected = list(recorded.items())[-1]
    likeliest = max(expected, key=expected.get)
    change(file, **{name: expected | {likeliest: expected[likeliest] - 2e-5}})


def not_a_number(folder: Path) -> None:
    weights = folder / "artifacts/model/model.safetensors"
    safetensors.torch.save_file({name: one * float("nan") for name, one in tensors_of(weights).items()}, weights)


def other_weights(folder: Path) -> None:
    shutil.copy(folder.parent / "content1/model/model.safetensors", folder / "artifacts/model")


def set_anew(folder: Path) -> None:
    text = (folder / "MLmodel").read_text()
    (folder / "MLmodel").write_text(text.replace("max_rows: 256", "max_rows: 256\n      later: 1", 1))


DAMAGES = {
    "weights cut": (cut, "SafetensorError"),
    "weights gone": (lambda folder: (folder / "artifacts/model/model.safetensors").unlink(), "is missing"),
    "weights nan": (not_a_number, "differs by nan"),
    "weights swapped": (other_weights, "it is not the model that was evaluated"),
    "golden off": (off, "differs by 2e-05, at most 1e-05 is allowed"),
    "golden image gone": (lambda folder: (folder / "golden/3.png").unlink(), "3.png"),
    "golden empty": (lambda folder: write_json(folder / "golden/probabilities.json", {}), "names no image"),
    "golden of none": (lambda folder: shutil.rmtree(folder / "golden"), "restart the server to serve it without"),
    "other classes": (lambda folder: change(folder / "artifacts/model/config.json", classes=list("abcd")), "inf"),
    "setting unknown": (set_anew, r"does not know \(later\); restart the server"),
    "config unknown": (
        lambda folder: change(folder / "artifacts/model/config.json", gamma=2.2),
        r"does not know \(gamma\); restart the server",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_version_that_fails_is_refused_once_with_the_reason_and_the_one_before_goes_on(
    registry, server, caplog, name
):
    damage, reason = DAMAGES[name]
    number = registry.damaged(name, damage)
    registry.point_to(number)
    for _ in range(2):
        server.follower.turn()
        assert server.ask() == ("1", near(registry.right("1")))
    (said,) = caplog.messages
    assert said.startswith(f"version {number} is refused, version 1 goes on: ") and "\n" not in said
    assert re.search(reason, said), said
    registry.point_to("2")
    server.follower.turn()
    assert server.ask()[0] == "2"


def test_a_registry_that_is_away_is_said_once_and_made_by_nobody_and_followed_when_it_is_back(registry, server, caplog):
    database = registry.folder / "mlflow.db"
    registry.point_to("2")
    aside = database.rename(registry.folder / "aside.db")
    for _ in range(3):
        server.follower.turn()
        assert server.ask()[0] == "1"
    assert not database.exists()
    (said,) = caplog.messages
    assert said.startswith("models:/vit@champion cannot be read, version 1 goes on: ") and "put it back" in said
    shutil.copy(aside, database)  # another file of that name, as after a restored backup
    aside.unlink()
    server.follower.turn()
    assert server.ask()[0] == "2"


def test_an_alias_that_is_gone_and_files_that_are_away_are_said_once_and_looked_for_again(registry, server, caplog):
    registry.client.delete_registered_model_alias("vit", "champion")
    for _ in range(2):
        server.follower.turn()
    files, aside = registry.files("2"), registry.folder / "aside"
    registry.point_to("2")
    files.rename(aside)
    for _ in range(2):
        server.follower.turn()
        assert server.ask()[0] == "1"
    aside.rename(files)
    server.follower.turn()
    assert server.ask()[0] == "2"
    assert [said.split(" cannot be read, version 1 goes on: ")[0] for said in caplog.messages] == [
        "models:/vit@champion",
        "the files of models:/vit/2",
        "version 2 is served from now on, after version 1",
    ]


def test_a_request_ends_with_the_version_that_it_began_with_which_then_leaves_the_memory(registry, server):
    before = server.model.serving
    with before.batches.request() as compute:
        registry.point_to("2")
        server.follower.turn()
        assert server.ask()[0] == "2"
        images = torch.zeros((1, 8, 8, 1), dtype=torch.uint8)
        (row,) = compute(images.numpy())
    assert row == pytest.approx(before.classifier.probabilities(images)[0], abs=1e-6)
    thread, weights = before.batches._thread, weakref.ref(before.classifier.model)
    if thread is not None:
        thread.join(timeout=10)
    gc.disable()  # what only it would find stays for minutes
    try:
        del before, compute, thread
        assert weights() is None
    finally:
        gc.enable()


def test_settings_come_from_the_new_version_except_those_given_when_the_server_was_started(registry):
    number = registry.damaged(
        "fewer rows", lambda folder: (folder / "MLmodel").write_text(
            (folder / "MLmodel").read_text().replace("max_rows: 256", "max_rows: 7")
        ),
    )  # fmt: skip
    new, cores = registry.files(number), Cores()
    assert load_version(new, number, cores, {}).limits.max_rows == 7
    given = load_version(new, number, cores, {"max_rows": 9}).limits
    assert given.max_rows == 9 and given.max_bytes == load_version(new, number, cores, {}).limits.max_bytes


def test_a_published_model_follows_nothing_and_one_from_no_registry_cannot(registry, tmp_path):
    config = mlflow.pyfunc.load_model("models:/vit/2").model_config
    assert config["follow"] is None and config["follow_seconds"] == 30
    shutil.copytree(
        registry.files("2"), tmp_path / "model", ignore=shutil.ignore_patterns(REGISTERED_MODEL_META_FILE_NAME)
    )
    context = PythonModelContext({"model": tmp_path / "model/artifacts/model"}, config | {"follow": "champion"})
    with pytest.raises(MlflowException, match="does not come from a registry; start the server with -m models:/"):
        ServedClassifier().load_context(context)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"follow": ""}, "follow is ''"),
        ({"follow": True}, "follow is True"),
        ({"follow_seconds": 0}, "follow_seconds is 0"),
        ({"follow_seconds": "30"}, "follow_seconds is '30'"),
        ({"follow_seconds": float("nan")}, "follow_seconds is nan"),
    ],
)
def test_bad_settings_of_following_are_named_when_the_server_starts(values, reason):
    with pytest.raises(MlflowException, match=reason):
        split_settings(values)


def test_every_version_is_published_with_eight_val_images_from_all_of_its_table_and_equal_bytes(registry):
    folders = [registry.files(number) / "golden" for number in ("1", "2")]
    files = {f"{index}.png" for index in range(8)}
    assert [{file.name for file in folder.iterdir()} for folder in folders] == [files | {"probabilities.json"}] * 2
    assert all((folders[0] / name).read_bytes() == (folders[1] / name).read_bytes() for name in files)
    recorded = read_json(folders[0] / "probabilities.json")
    rows = read_table(registry.folder / "content1/val_predictions.csv")
    assert recorded.keys() == files
    for index, (_, probabilities) in enumerate(sorted(recorded.items())):
        eighth = [row for place, row in enumerate(rows) if place * 8 // len(rows) in (index - 1, index, index + 1)]
        assert probabilities in [{name: float(row[f"p_{name}"]) for name in probabilities} for row in eighth]
