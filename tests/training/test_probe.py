"""train.frozen_layers all: the head trained on stored features is the head trained under a frozen model."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import REPO
from tests.shapes import Training, shapes, untrained
from tests.training.common import params_for, same
from vit.config.params_file import read_yaml
from vit.config.schema import Params, TrainParams
from vit.data.batches import Packed
from vit.data.images import centre_crop
from vit.errors import UserError
from vit.inference.classifier import Classifier
from vit.inference.features import features_of, stored_versions
from vit.training.checkpoint import Checkpoints
from vit.training.device import Compute, choose
from vit.training.distributed import World
from vit.training.features import write_features
from vit.training.feed import Feed, first_batch
from vit.training.loop import fit
from vit.training.probe import FeatureFeed, probe
from vit.training.step import TrainingStep

STILL = {
    "train.augment.degrees": 0.0,
    "train.augment.erasing": 0.0,
    "model.drop_rate": 0.0,
    "model.drop_path_rate": 0.0,
}
ALL = {"train.frozen_layers": "all", "train.lr": 0.02, "train.warmup_epochs": 0.0}


@pytest.fixture
def parts(tmp_path) -> tuple[Packed, Packed]:
    return shapes(tmp_path, 10, seed=0), shapes(tmp_path, 4, seed=1)


def compute_of(params: Params) -> Compute:
    return choose(params.train, params.model, params.pack.image_size, World())[0]


class Probing:
    """The stages features and train, with their outputs in `folder`."""

    def __init__(self, params: Params, parts: tuple[Packed, Packed], folder: Path):
        folder.mkdir(exist_ok=True)
        self.whole = untrained(params, parts[0])
        if not (folder / "train.npy").exists():
            write_features(self.whole, params.train, compute_of(params), *parts, folder)
        self.feed = probe(self.whole, *parts, params.train, World(), folder)
        self.step = TrainingStep(self.feed.classifier.model, self.feed.train, compute_of(params), World())
        self.checkpoints = Checkpoints(folder)
        self.progress = self.checkpoints.restore(self.step)

    def run(self, show=lambda progress: None) -> "Probing":
        fit(self.step, self.feed, self.feed.val, self.progress, self.checkpoints, show)
        return self


def test_on_stored_features_the_head_becomes_what_it_becomes_on_images_under_a_frozen_model(tmp_path, parts):
    params = params_for(tmp_path, **STILL, **ALL)
    on_images = Training(params, parts, tmp_path / "images").run()
    on_features = Probing(params, parts, tmp_path / "features").run()
    before = untrained(params, parts[0]).model.state_dict()
    for name, weight in on_features.whole.model.state_dict().items():
        assert torch.allclose(weight, on_images.classifier.model.state_dict()[name], atol=1e-5), name
        assert torch.equal(weight, before[name]) is not name.startswith("head."), name
    columns = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")
    for row, other in zip(on_features.progress.history, on_images.progress.history, strict=True):
        assert [row[name] for name in columns] == pytest.approx([other[name] for name in columns], abs=1e-4)
    assert on_features.progress.history[-1]["train_loss"] < on_features.progress.history[0]["train_loss"]


def test_the_whole_model_gives_an_image_the_logits_that_the_head_gives_its_features(tmp_path, parts):
    probing = Probing(params_for(tmp_path, **ALL), parts, tmp_path / "features").run()
    images, features = parts[1].images, probing.feed.val.images
    assert torch.equal(probing.whole.logits(images), probing.feed.classifier.logits(features))


def test_features_are_the_heads_input_and_leave_the_model_whole(tmp_path, parts):
    whole = untrained(params_for(tmp_path), parts[0])
    seen = []
    whole.model.get_submodule("head").register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    logits = whole.logits(parts[0].images)
    assert torch.equal(features_of(whole, parts[0], 64).images, seen[0].cpu())
    assert torch.equal(whole.logits(parts[0].images), logits)


def with_margin(classifier: Classifier, part: Packed) -> tuple[Classifier, Packed]:
    """The same images with a border for random crops."""
    wider = np.pad(part.images.numpy(), ((0, 0), (2, 2), (2, 2), (0, 0)), mode="edge")
    return replace(classifier, config=classifier.config | {"margin": 0.5}), Packed(torch.from_numpy(wider), part.labels)


@pytest.mark.parametrize(
    ("changes", "has_margin", "versions"),
    [({}, False, 4), (STILL, False, 1), (STILL, True, 4), ({"train.feature_variations": 0}, False, 1)],
)
def test_the_first_version_is_of_the_images_as_they_are_and_others_are_there_only_if_they_differ(
    tmp_path, parts, changes, has_margin, versions
):
    params = params_for(tmp_path, **ALL | changes)
    whole, part = untrained(params, parts[0]), parts[0]
    if has_margin:
        whole, part = with_margin(whole, part)
    assert write_features(whole, params.train, compute_of(params), part, parts[1], tmp_path) == (versions, 16)
    stored = [one.images for one in stored_versions(tmp_path, "train", part.labels)]
    middle = Packed(centre_crop(part.images, (8, 8)).contiguous(), part.labels)
    assert torch.allclose(stored[0], features_of(whole, middle, 64).images, atol=1e-6)
    assert len(stored) == versions
    assert all((one - other).abs().max() > 1e-3 for n, one in enumerate(stored) for other in stored[:n])


def test_epochs_take_turns_with_the_versions(tmp_path, parts):
    feed = Probing(params_for(tmp_path, **ALL), parts, tmp_path / "features").feed
    assert isinstance(feed, FeatureFeed) and len(feed.versions) == 4
    for epoch in (0, 1, 3, 4, 6):
        order = feed.order(epoch)
        shown = torch.cat([x.clone() for _, batch in feed.epoch(epoch) for x, _ in batch])
        assert torch.equal(shown, feed.versions[epoch % 4].images[order])


def test_the_same_images_and_seed_give_the_same_bytes_and_another_seed_other_versions(tmp_path, parts):
    written = {}
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        params = params_for(tmp_path, **ALL, **{"train.seed": seed})
        whole = untrained(params_for(tmp_path), parts[0])
        (tmp_path / name).mkdir()
        write_features(whole, params.train, compute_of(params), *parts, tmp_path / name)
        written[name] = (tmp_path / name / "train.npy").read_bytes()
    assert written["a"] == written["b"] != written["c"]


def test_a_probe_that_was_cut_off_ends_with_the_same_bytes(tmp_path, parts):
    params = params_for(tmp_path, **ALL)

    def cut_off(progress) -> None:
        if len(progress.history) == 2:
            raise KeyboardInterrupt

    whole = Probing(params, parts, tmp_path / "whole").run()
    with pytest.raises(KeyboardInterrupt):
        Probing(params, parts, tmp_path / "cut").run(cut_off)
    continued = Probing(params, parts, tmp_path / "cut")
    assert len(continued.progress.history) == 2
    continued.run()
    assert same(whole.whole.model.state_dict(), continued.whole.model.state_dict())
    assert continued.progress.history == whole.progress.history


def test_the_first_batch_shows_the_images_behind_the_features(tmp_path, parts):
    params = params_for(tmp_path, **ALL, **STILL)
    ours = first_batch(Probing(params, parts, tmp_path / "features").feed)
    assert same(ours, first_batch(Feed(untrained(params, parts[0]), parts[0], params.train, World())))


def test_missing_features_and_those_of_other_images_are_refused_with_the_way_out(tmp_path, parts):
    params = params_for(tmp_path, **ALL)
    whole = untrained(params, parts[0])
    with pytest.raises(UserError, match=r"train\.npy is missing.*frozen_layers all.*`dvc repro`"):
        probe(whole, *parts, params.train, World(), tmp_path)
    write_features(whole, params.train, compute_of(params), *parts, tmp_path)
    with pytest.raises(UserError, match=r"train\.npy is of 40 images, but train has 16; run `dvc repro`"):
        probe(whole, parts[1], parts[1], params.train, World(), tmp_path)


class Noting:
    """The parameters of a training; notes which are read."""

    def __init__(self, train: TrainParams, read: set[str]):
        self._train, self._read = train, read

    def __getattr__(self, name: str):
        self._read.add(name)
        return getattr(self._train, name)


def test_dvc_watches_exactly_the_parameters_of_train_that_features_depend_on(tmp_path, parts):
    params = params_for(tmp_path, **ALL)
    read: set[str] = set()
    noting = Noting(params.train, read)
    compute, _ = choose(noting, params.model, params.pack.image_size, World())
    write_features(untrained(params, parts[0]), noting, compute, *parts, tmp_path)
    listed = read_yaml(REPO / "dvc.yaml")["stages"]["features"]["params"]
    assert {key.removeprefix("train.") for key in listed} - {"model"} == read | {"frozen_layers"}
