"""The README's commands that start a training from a file of timm's, kept by DVC, and from a registered version."""

import pytest
import safetensors.torch
import torch
from timm.models.vision_transformer import VisionTransformer

from tests.conftest import clone, documented
from tests.presets import preset, write_preset
from tests.store import look, stages_run
from vit.files import read_json, sha256_of

FEW = {"data.shapes_per_class": 30, "train.epochs": 2, "train.warmup_epochs": 1, "evaluate.explain_images": 0}
FEW |= {"evaluate.svc_baseline": False, "evaluate.invariance": [], "train.threads": 1}


@pytest.mark.slow
def test_a_training_starts_from_a_file_and_the_next_from_the_version_that_it_gave(tmp_path):
    project = clone(tmp_path / "project")
    write_preset(project.folder / "params.yaml", "shapes", FEW)
    sizes = preset(tmp_path, "shapes").model.model_dump(include={"patch_size", "embed_dim", "depth", "num_heads"})
    torch.manual_seed(0)
    timms = VisionTransformer(img_size=16, num_classes=7, **sizes).state_dict()
    file = project.folder / "weights/vit_tiny.safetensors"
    safetensors.torch.save_file(timms, file)

    project.run(f"{documented('dvc add weights')} && git add -A && git commit -qm weights")
    assert project.run("git ls-files weights").stdout.split() == [
        "weights/README.md",
        "weights/vit_tiny.safetensors.dvc",
    ]
    done = project.run(documented("dvc exp run -S train.init_from=weights/"))
    assert (
        "started from weights/vit_tiny.safetensors: three channels summed into one in patch_embed.proj.weight; "
        "position embeddings resampled from 8x8 to 4x4 patches; "
        "new head for 4 classes, because the classes of the weights are unknown\n"
    ) in done.stdout
    held = look(project)
    assert held.runs[0].data.tags["init_sha256"] == held.versions[0].tags["init_sha256"] == sha256_of(file)

    first = safetensors.torch.load_file(project.folder / "model/model.safetensors")
    write_preset(project.folder / "params.yaml", "shapes", FEW)
    done = project.run(documented("dvc exp run -S train.init_from=models:/"))
    assert stages_run(done.stdout) == ["weights", "pretrain", "features", "train", "evaluate", "register"]
    assert "started from models:/vit/1: head kept, because its classes are the same\n" in done.stdout
    assert read_json(project.folder / "data/weights.json")["init"]["source"] == "models:/vit/1"
    second = safetensors.torch.load_file(project.folder / "model/model.safetensors")
    same = {name for name in first if torch.equal(first[name], second[name])}
    assert same == {name for name in first if name.split(".")[0] in ("cls_token", "pos_embed", "patch_embed")}

    write_preset(project.folder / "params.yaml", "shapes", FEW)
    done = project.run(documented("dvc exp run -S train.frozen_layers=all"))
    assert "32 features of 84 train images, and of 12 val images; cpu" in done.stdout
    probed = safetensors.torch.load_file(project.folder / "model/model.safetensors")
    assert {name for name in first if not torch.equal(first[name], probed[name])} == {"head.weight", "head.bias"}
    run = look(project).client.get_run(look(project).versions[-1].run_id)
    assert run.data.params["train.frozen_layers"] == "all"
    assert {"knn_val_accuracy", "knn_accuracy", "test_accuracy"} <= run.data.metrics.keys()
    done = project.run(documented("dvc exp run -S train.frozen_layers=all").replace("lr=0.003", "lr=0.01"))
    assert stages_run(done.stdout) == ["train", "evaluate", "register"]

    write_preset(project.folder / "params.yaml", "shapes", FEW)
    done = project.run(documented("dvc exp run -S train.frozen_layers=2"))
    assert "started from models:/vit/2: head kept, because its classes are the same\n" in done.stdout
