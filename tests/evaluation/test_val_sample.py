"""The sample of val that is published with a model: whole groups, and the figures that a server would log of them."""

import base64

import numpy as np
import pytest
import torch
from PIL import Image

from tests.drawn import noise
from tests.kinds import classifier_of
from tests.serving.conftest import LIMITS
from vit.data.batches import Packed
from vit.data.images import load_image, settings_of
from vit.data.manifest import Row
from vit.evaluation import val_sample
from vit.monitoring.logged import read_log
from vit.monitoring.sample import read_val_sample
from vit.serving.cores import Cores
from vit.serving.prediction_log import PredictionLog
from vit.serving.settings import Logging
from vit.serving.version import ServedVersion

COUNT = 24


@pytest.fixture
def classifier():
    return classifier_of("avg")


@pytest.fixture
def val(tmp_path, classifier) -> tuple[Packed, list[Row]]:
    """Images in groups of four, of which the last ones are larger."""
    rows = []
    for index in range(COUNT):
        label = classifier.classes[index % 3]
        path = f"{index % 3}/{index}.png"
        (tmp_path / "raw" / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(20, 30 if index < 20 else 40, 3, index)).save(tmp_path / "raw" / path)
        rows.append(Row(path, label, f"group {index // 4}"))
    images = [load_image(tmp_path / "raw" / row.path, **settings_of(classifier.config)) for row in rows]
    return Packed(torch.from_numpy(np.stack(images)), torch.arange(COUNT) % 3), rows


def test_val_is_published_as_a_server_would_log_it(tmp_path, classifier, val):
    part, rows = val
    val_sample.write_val_sample(tmp_path / "sample", classifier, part, rows, tmp_path / "raw")
    found = read_val_sample(tmp_path / "sample")
    settings = LIMITS | {"max_pixels": 10**8}
    version, log = ServedVersion(classifier, settings, Cores(), "1", True), Logging(tmp_path / "log", 60, 30, 0)
    predictions = PredictionLog(log)
    texts = [base64.b64encode((tmp_path / "raw" / row.path).read_bytes()).decode() for row in rows]
    predictions.add(version.answer(texts, {}), version, 0.1)
    predictions.close()
    served = read_log(log.folder)
    assert found.classes == classifier.classes and found.truth.tolist() == [row.label for row in rows]
    assert found.label.tolist() == served["label"].to_pylist()
    assert found.block.tolist() == [index // 4 for index in range(COUNT)]
    assert found.figures["size"].tolist() == [600.0] * 20 + [800.0] * 4
    np.testing.assert_allclose(found.embedding, served["embedding"].to_pylist(), atol=1e-5)
    for name in ("confidence", "brightness", "sharpness"):
        np.testing.assert_allclose(found.figures[name], served[name].to_numpy(), rtol=1e-4)


def test_of_a_large_val_whole_groups_are_drawn_the_same_ones_each_time(tmp_path, classifier, val, monkeypatch):
    monkeypatch.setattr(val_sample, "MOST", 10)
    arrays = val_sample.val_sample(classifier, *val, tmp_path / "raw")
    assert np.bincount(arrays["group"]).tolist() == [4, 4]
    again = val_sample.val_sample(classifier, *val, tmp_path / "raw")
    assert all(np.array_equal(arrays[name], again[name]) for name in arrays)


def test_an_empty_val_leaves_no_file(tmp_path, classifier):
    empty = Packed(torch.empty(0, 16, 16, 3, dtype=torch.uint8), torch.empty(0, dtype=torch.int64))
    val_sample.write_val_sample(tmp_path / "sample", classifier, empty, [], tmp_path)
    assert not (tmp_path / "sample").exists()
