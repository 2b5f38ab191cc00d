"""From a hub that holds a tiny pair to proposed labels, and to a training that starts from the class names."""

import csv
import json

import pytest
from ruamel.yaml import YAML

from tests.conftest import clone, documented
from tests.drawn import draw
from tests.fake_hub import commit_of, hub
from tests.local_server import serving
from tests.store import look
from tests.towers import write_pair
from vit.files import read_json

pytest.importorskip("huggingface_hub", reason="needs requirements-hub.txt")
pytestmark = pytest.mark.slow

COMMAND = documented("vit label images")
NAME = COMMAND.rpartition("hf-hub:")[2].partition("@")[0]
CHANGES = {
    "pack": {"image_size": [16, 16], "channels": 3, "fit": "stretch", "mean": [0.5] * 3, "std": [0.25] * 3},
    "model": {"patch_size": 4, "embed_dim": 24, "depth": 2, "num_heads": 3, "mlp_ratio": 2.0, "pos_embed": "learned"},
    "data": {"shapes_per_class": 10},
    "evaluate": {"explain_images": 0, "svc_baseline": False, "invariance": []},
    "train": {"epochs": 1, "warmup_epochs": 0.0, "threads": 1, "init_head": "text"},
}


def test_a_pair_on_the_hub_labels_images_and_starts_a_training_without_it(tmp_path):
    root, project = tmp_path / "hub", clone(tmp_path / "project")
    write_pair("CLIP", root / NAME)
    commit = commit_of(root / NAME)
    for seed in range(3):
        draw(project.folder / f"images/{seed}.png", seed)
    with serving(hub(root)) as address:
        project.env |= {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "cache"), "HF_HUB_DISABLE_XET": "1"}
        pinned = COMMAND.replace("COMMIT", commit)
        assert f"write hf-hub:{NAME}@{commit}" in project.run(COMMAND.replace("@COMMIT", ""), succeeds=False).stderr
        project.run(pinned)
        table = list(csv.DictReader((project.folder / "images/labels.csv").open()))
        assert {row["file"] for row in table} == {"0.png", "1.png", "2.png"}
        project.run(f"vit preset shapes --from hf-hub:{NAME}@{commit}")
        change(project.folder / "params.yaml", CHANGES)
        project.run("rm -r images/*.png images/labels.csv && git commit -qam text")
        first = project.run("dvc repro train")
    assert "head: 4 classes from texts such as 'a photo of a checkerboard.'" in first.stdout + first.stderr
    assert "head made of the class names, for zero-shot" in first.stdout
    assert "zero-shot, before training 0." in first.stdout
    assert 0 < read_json(project.folder / "metrics/train.json")["zero_shot_val_accuracy"] < 1
    known = read_json(project.folder / "data/weights.json")["init"]
    assert (known["head"], known["head_templates"]) == ("text", ["a photo of a {}."])
    project.env |= {
        "HF_ENDPOINT": "http://127.0.0.1:9",
        "HF_HOME": str(tmp_path / "empty"),
    }  # from here without the hub
    again = project.run("dvc repro train --force --single-item")
    assert "head made of the class names, for zero-shot" in again.stdout
    project.run("dvc repro")
    held, before = look(project), read_json(project.folder / "metrics/train.json")["zero_shot_val_accuracy"]
    (run,), (version,) = held.runs, held.versions
    for tags in (run.data.tags, version.tags):
        assert tags["init_source"] == f"hf-hub:{NAME}@{commit}"
        assert (tags["init_head"], tags["init_head_templates"]) == ("text", "['a photo of a {}.']")
        assert tags["init_head_prompts_sha256"] == known["head_prompts_sha256"]
    assert run.data.metrics["zero_shot_val_accuracy"] == pytest.approx(before)
    assert float(version.tags["zero_shot_val_accuracy"]) == pytest.approx(before, abs=1e-5)
    assert f"Before training, zero-shot, accuracy on val was {before:.1%}" in version.description
    traced = json.loads(project.run("vit registry trace models:/vit/1 --json").stdout)
    assert traced["weights"]["init.head_prompts_sha256"] == known["head_prompts_sha256"]
    assert "verified" in project.run("vit registry verify models:/vit/1 --retrain").stdout


def change(params, changes: dict[str, dict]) -> None:
    yaml = YAML()
    values = yaml.load(params)
    for section, some in changes.items():
        values[section] |= some
    yaml.dump(values, params)
