from pathlib import Path

import pytest
import safetensors.torch

import stages.train
from tests.shapes import Training, shapes
from tests.training.common import params_for, same
from vit.files import sha256_of
from vit.training.feed import first_batch

pytestmark = pytest.mark.long


def test_what_is_left_of_a_training_is_data_without_a_figure_and_the_same_bytes_again(tmp_path, monkeypatch):
    params = params_for(tmp_path, **{"train.epochs": 1, "train.augment.mixup": 1.0})
    training = Training(params, (shapes(tmp_path, 10), shapes(tmp_path, 4, seed=1)), tmp_path / "a").run()
    monkeypatch.chdir(tmp_path)
    names = ["first_batch.safetensors", "history.csv", "learning_rate.csv"]
    written = []
    for _ in range(2):
        stages.train.write_outputs(training.progress, training.feed, {})
        assert sorted(path.name for path in Path("training").iterdir()) == names
        written.append(sha256_of(*(Path("training", name) for name in names)))
    assert written[0] == written[1]
    kept = safetensors.torch.load_file("training/first_batch.safetensors")
    assert same(kept, first_batch(training.feed))
