"""`vit estimate`: its lines, its JSON, and parameters that cannot be trained."""

import json
import re

import pytest

from tests.conftest import documented
from tests.presets import write_preset
from vit.checks import probe

pytestmark = pytest.mark.long


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(probe, "ENOUGH", 0.05)
    write_preset(tmp_path / "params.yaml", "shapes", {"train.device": "cpu", "train.threads": 1, "train.patience": 3})
    return tmp_path


def test_it_prints_layers_size_pace_time_and_memory(printed):
    lines = printed(*documented("vit estimate").split()[1:]).splitlines()
    assert lines[0].startswith("module") and "total" in lines[-5]
    assert re.match(r"0\.03 M parameters, 0\.5 M multiply-adds per image; cpu, ", lines[-4])
    assert re.match(r"images: 280 train images .*; \d+ images/s in training, \d+ in validation", lines[-3])
    assert re.match(r"8 epochs: about \d+ seconds?; memory: \d\.\d GB", lines[-2])
    assert lines[-1] == "not included: early stopping (train.patience)"


def test_as_data_for_another_file_of_parameters(printed, refused, project):
    write_preset(project / "other.yaml", "shapes", {"train.device": "cpu", "data.source": "folder"})
    found = json.loads(printed("estimate", "--params", "other.yaml", "--json"))
    assert found["minutes"] is None and found["parameters"] > 0
    write_preset(project / "other.yaml", "shapes", {"train.device": "cuda:7"})
    assert "cuda:7" in refused("estimate", "--params", "other.yaml")
