"""From a hub to a verified version: the guide's commands, with a tiny model under the documented name."""

import json
import shutil
from pathlib import Path

import pytest
import safetensors.torch
import torch
from ruamel.yaml import YAML
from timm.models.vision_transformer import VisionTransformer

from tests.conftest import clone, documented
from tests.fake_hub import commit_of, hub
from tests.local_server import serving
from tests.store import look, stages_run
from vit.files import read_json, sha256_of, write_json
from vit.training.digests import sha256_hex

pytest.importorskip("huggingface_hub", reason="needs requirements-hub.txt")
pytestmark = pytest.mark.slow  # a whole pipeline, served and verified

COMMAND = documented("vit preset shapes --from")
NAME = COMMAND.rpartition("hf-hub:")[2]
IMAGES = {"crop_pct": 0.875, "interpolation": "bilinear", "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.25, 0.3]}
FEW = {"data": {"shapes_per_class": 10}, "evaluate": {"explain_images": 0, "svc_baseline": False, "invariance": []}}
FEW |= {"train": {"epochs": 1, "warmup_epochs": 0.0, "threads": 1}}


@pytest.fixture
def root(tmp_path) -> Path:
    """A hub that holds one model: of the documented architecture, but tiny."""
    folder = tmp_path / "hub" / NAME
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    model = VisionTransformer(
        img_size=28, patch_size=14, embed_dim=24, depth=2, num_heads=6, num_classes=0, init_values=0.1
    )
    safetensors.torch.save_file(model.state_dict(), folder / "model.safetensors")
    known = {"architecture": NAME.rpartition("/")[2].partition(".")[0], "model_args": {"num_heads": 6}}
    write_json(folder / "config.json", known | {"pretrained_cfg": {"input_size": [3, 28, 28], **IMAGES}})
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    return tmp_path / "hub"


def change(params: Path, changes: dict[str, dict]) -> None:
    yaml = YAML()
    values = yaml.load(params)
    for section, some in changes.items():
        values[section] |= some
    yaml.dump(values, params)


def test_public_weights_are_fine_tuned_published_with_their_source_and_verified_without_the_hub(root, tmp_path):
    project = clone(tmp_path / "project")
    cache, commit = tmp_path / "cache", commit_of(root / NAME)
    with serving(hub(root)) as address:
        project.env |= {"HF_ENDPOINT": address, "HF_HOME": str(cache), "HF_HUB_DISABLE_XET": "1"}
        said = project.run(COMMAND).stdout
        assert f"is now hf-hub:{NAME}@{commit}\nlicence of the weights: apache-2.0\n" in said
        change(project.folder / "params.yaml", FEW)
        project.run("git commit -qam weights")
        done = project.run("dvc repro")
    assert f"started from hf-hub:{NAME}@{commit}: new head for 4 classes" in done.stdout

    known = read_json(project.folder / "data/weights.json")["init"]
    original = root / NAME / "model.safetensors"
    assert known["licence"] == "apache-2.0" and known["images_seen"] == "unknown"
    (version,), (run,) = look(project).versions, look(project).runs
    expected = {f"init_{key}": known[key] for key in ("source", "sha256", "licence", "url", "images_seen")}
    assert run.data.tags.items() >= expected.items() and version.tags.items() >= expected.items()
    card = version.description
    assert f"fine-tuned from [`hf-hub:{NAME}@{commit}`]" in card and "licence apache-2.0" in card
    assert "trained from scratch" not in card and "- **Warning**: what images `hf-hub:" in card
    traced = json.loads(project.run("vit registry trace models:/vit/1 --json").stdout)
    assert traced["weights"]["init.sha256"] == sha256_of(project.folder / "data/weights/init/model.safetensors")
    assert traced["weights"]["init.files.model.safetensors"] == sha256_hex(original)
    config = read_json(project.folder / "model/config.json")
    assert config.items() >= (IMAGES | {"fit": "center", "image_size": [28, 28]}).items()

    # The hub is off and its library's cache is gone: all comes from DVC's cache.
    shutil.rmtree(cache)
    shutil.rmtree(project.folder / "data/weights")
    assert stages_run(project.run("dvc repro").stdout) == ["register"]
    assert (project.folder / "data/weights/init/model.safetensors").is_file()
    assert "all 8 labels are equal" in project.run("vit registry verify models:/vit/1").stdout
