"""What a training will take: the numbers of the model, of the images, and a pace from real steps."""

import pytest

from tests.drawn import draw
from tests.presets import preset
from vit.checks import probe
from vit.checks.probe import Images, estimate, expected_images
from vit.data.sources.fetch import describe
from vit.data.sources.shapes import fetch_shapes
from vit.inference.complexity import cost_of

SMALL = {"train.device": "cpu", "train.threads": 1, "train.precision": "float32", "data.shapes_per_class": 20}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Without any images at hand, and without waiting for an exact pace."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(probe, "ENOUGH", 0.05)


def test_minutes_are_those_of_all_epochs_at_the_measured_pace(tmp_path):
    found = estimate(preset(tmp_path, "shapes", SMALL | {"train.epochs": 600}))
    assert (found.train_images, found.val_images) == (56, 8)  # of 80: 0.1 val and 0.2 test
    seconds = 600 * (56 / found.images_per_second + 8 / found.val_images_per_second)
    assert found.minutes == pytest.approx(seconds / 60)
    assert found.summary.splitlines()[-1].split()[-1] == f"{found.multiply_adds:,}"
    assert 200e6 < found.memory < 4e9 and found.device_memory is None and found.left_out == []


@pytest.mark.parametrize("name", ["vit", "cnn", "torchvision/resnet18"])
def test_every_family_is_measured_and_counted(tmp_path, name):
    params = preset(tmp_path, "shapes", SMALL | {"model.name": name, "train.batch_size": 8})
    found = estimate(params)
    config = params.pack.model_dump() | {"classes": list("abcd"), "compute": {"attention": "math"}}
    cost = cost_of(config | {"mean": [0.5], "std": [0.5], "model": params.model.model_dump() | {"distilled": False}})
    assert (found.parameters, found.multiply_adds) == (cost.parameters, cost.multiply_adds)


def test_without_images_there_is_a_pace_but_no_time(tmp_path):
    found = estimate(preset(tmp_path, "shapes", SMALL | {"data.source": "folder"}))
    assert found.minutes is None and found.images_per_second > 0
    assert found.images_from == "unknown before `dvc repro pack`"


def test_a_subset_folds_and_built_in_images_are_counted_as_the_stages_count_them(tmp_path):
    params = preset(tmp_path, "shapes", SMALL)
    for name in ("raw", "tables"):
        (tmp_path / name).mkdir()
    fetch_shapes(params.data, tmp_path / "raw", tmp_path / "tables")
    described = describe(tmp_path / "raw")
    assert probe.BUILT_IN["shapes"](params.data) == (described["images"], len(described["classes"]))
    origin = "about, by the fractions of split"
    assert expected_images(preset(tmp_path, "shapes", SMALL | {"split.subset_per_class": 9})) == Images(
        36, 8, 4, origin
    )
    assert expected_images(preset(tmp_path, "shapes", SMALL | {"split.folds": 4})) == Images(52, 8, 4, origin)
    assert expected_images(preset(tmp_path, "digits", {})).train == pytest.approx(1258, abs=5)


def test_pretraining_is_measured_and_counted_with_the_images_without_labels(tmp_path):
    params = preset(tmp_path, "shapes", SMALL | {"pretrain.epochs": 300, "pretrain.batch_size": 32})
    alone = estimate(params)
    assert alone.pretraining is None and alone.left_out == ["pretraining, because unlabelled/ holds no images"]
    for seed in range(5):
        draw(tmp_path / f"unlabelled/deep/{seed}.png", seed)
    found = estimate(params)
    before = found.pretraining
    assert (before.epochs, before.unlabelled_images, found.left_out) == (300, 5, [])
    assert before.minutes == pytest.approx(300 * (5 + 56) / before.images_per_second / 60)
    own = params.train.epochs * (56 / found.images_per_second + 8 / found.val_images_per_second)
    assert found.minutes == pytest.approx(own / 60 + before.minutes)


def test_what_is_not_measured_is_named(tmp_path):
    soft = {"train.teacher": "weights/t", "train.distillation": "soft", "pack.mode": "none", "train.patience": 3}
    said = " ".join(estimate(preset(tmp_path, "shapes", SMALL | soft)).left_out)
    assert all(word in said for word in ("teacher", "pack.mode none", "train.patience"))
