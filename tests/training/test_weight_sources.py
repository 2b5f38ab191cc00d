"""What the stage weights brings: files as safetensors, hostile ones refused, changes noticed by DVC."""

import pickle
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch
from transformers import ViTConfig, ViTForImageClassification
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from stages.weights import fetch_weights
from tests.conftest import Project, clone
from tests.presets import write_preset
from vit.config.model import ModelParams
from vit.errors import UserError
from vit.files import read_json, sha256_of, write_json
from vit.inference.classifier import Classifier
from vit.training.distillation import Teacher
from vit.training.initial import initialize

pytestmark = pytest.mark.long

STATE = {"head.weight": torch.arange(6.0).reshape(2, 3), "head.bias": torch.ones(2)}
COMPUTE, CPU = {"attention": "math"}, torch.device("cpu")
NO_IMAGES = Path("absent.csv")  # only those of a version are known
OURS = {"classes": ["a", "b"], "image_size": [8, 8], "channels": 1, "model": {}}


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A repo with an empty folder `weights` and a folder `out` to bring to."""
    monkeypatch.chdir(tmp_path)
    for name in ("weights", "out"):
        (tmp_path / name).mkdir()
    return tmp_path


def brought(name: str) -> dict[str, torch.Tensor]:
    record = fetch_weights(f"weights/{name}", Path("out"), "train.init_from", NO_IMAGES)
    digest = sha256_of(Path("out/model.safetensors"))
    assert record == {"source": f"weights/{name}", "sha256": digest, "images_seen": "unknown"}
    return safetensors.torch.load_file("out/model.safetensors")


def equal(first: dict, second: dict) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_null_brings_nothing(here):
    assert fetch_weights(None, here / "out", "train.teacher", NO_IMAGES) is None
    assert list((here / "out").iterdir()) == []


def test_a_safetensors_file_is_copied_byte_for_byte(here):
    safetensors.torch.save_file(STATE, "weights/x.safetensors")
    assert equal(brought("x.safetensors"), STATE)
    assert Path("out/model.safetensors").read_bytes() == Path("weights/x.safetensors").read_bytes()


@pytest.mark.parametrize("wrapper", [None, "model", "state_dict", "model_ema"])
def test_a_pytorch_file_may_hold_the_weights_alone_or_inside_a_checkpoint(here, wrapper):
    other = {"model": {"head.weight": torch.zeros(1)}, "epoch": 3, "optimizer": {"lr": 0.1}}
    torch.save(STATE if wrapper is None else other | {wrapper: STATE}, "weights/x.pth")
    assert equal(brought("x.pth"), STATE)


def test_weights_that_share_their_memory_are_kept_each_for_itself(here):
    torch.save({"a": STATE["head.weight"], "b": STATE["head.weight"].T}, "weights/x.pt")
    assert equal(brought("x.pt"), {"a": STATE["head.weight"], "b": STATE["head.weight"].T})


class Hostile:
    def __reduce__(self):
        return Path.touch, (Path("was_run"),)


def save_pickle(path: Path) -> None:
    with path.open("wb") as file:
        pickle.dump({"head.weight": Hostile()}, file)


def save_truncated(path: Path) -> None:
    torch.save(STATE, path)
    path.write_bytes(path.read_bytes()[:300])


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        (
            "x.pth",
            lambda path: torch.save({"head.weight": Hostile()}, path),
            "holds more than weights, possibly a program",
        ),
        ("x.bin", save_pickle, "possibly a program; save only `model.state_dict.*`"),
        ("x.pth", lambda path: torch.save({"model": torch.nn.Linear(2, 2)}, path), "holds more than weights"),
        ("x.pth", save_truncated, "is not a complete PyTorch file"),
        ("x.pth", lambda path: path.write_bytes(b"PK"), "is not a complete PyTorch file|holds more"),
        ("x.pth", lambda path: torch.save([1, 2], path), "holds a list instead of a state dict"),
        ("x.pth", lambda path: torch.save({"epoch": 3}, path), "its 'epoch' is not a tensor"),
        ("x.safetensors", lambda path: path.write_bytes(b"{}"), "is not a safetensors file"),
        ("x.safetensors", lambda path: safetensors.torch.save_file({}, path), "holds no tensors"),
        ("x", lambda path: path.mkdir(), "is a folder without model.safetensors"),
    ],
)
def test_what_holds_no_weights_is_refused_in_one_line_and_never_run(here, name, write, message):
    write(here / "weights" / name)
    with pytest.raises(UserError, match=message) as caught:
        fetch_weights(f"weights/{name}", Path("out"), "train.init_from", NO_IMAGES)
    assert str(caught.value).startswith(f"train.init_from 'weights/{name}' ")
    assert not Path("was_run").exists()


@pytest.mark.parametrize("named", ["/data/x.pth", "model/x.pth", "weights/../x.pth", "~/x.pth"])
def test_what_dvc_would_not_watch_is_refused_with_the_command_that_brings_it(here, named):
    with pytest.raises(
        UserError, match=f"train.teacher '{named}' lies outside .*`dvc import-url {named} weights/x.pth`"
    ):
        fetch_weights(named, Path("out"), "train.teacher", NO_IMAGES)


def test_a_file_that_is_not_there_is_refused_with_the_command_that_keeps_it(here):
    with pytest.raises(UserError, match=r"'weights/x.pth': no such file; .* `dvc add weights/x.pth`"):
        fetch_weights("weights/x.pth", Path("out"), "train.init_from", NO_IMAGES)


@pytest.mark.parametrize(
    ("name", "config", "is_known"),
    [("model", OURS, True), ("model", {"name": "of another program"}, False), ("other", OURS, False)],
    ids=["ours", "somebody's", "beside another file"],
)
def test_settings_are_known_where_they_lie_beside_a_model_of_ours(here, name, config, is_known):
    safetensors.torch.save_file(STATE, f"weights/{name}.safetensors")
    write_json(Path("weights/config.json"), config)
    brought(f"{name}.safetensors")
    assert Path("out/config.json").exists() is is_known
    if is_known:
        assert read_json(Path("out/config.json")) == OURS


def test_a_folder_such_as_model_is_taken_with_its_settings(here):
    Path("weights/mine").mkdir()
    safetensors.torch.save_file(STATE, "weights/mine/model.safetensors")
    write_json(Path("weights/mine/config.json"), OURS)
    assert equal(brought("mine"), STATE)
    assert {path.name for path in Path("out").iterdir()} == {"model.safetensors", "config.json"}


def save_transformers_vit(folder: Path, labels: list[str]) -> ViTForImageClassification:
    """A classifier as transformers saves it, which is how a repository on the hub looks when it is copied here."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 3, "intermediate_size": 48}
    config = ViTConfig(**sizes, image_size=8, patch_size=4, id2label=dict(enumerate(labels)))
    model = ViTForImageClassification(config).eval()
    model.save_pretrained(folder)
    ViTImageProcessorPil(size={"height": 8, "width": 8}, image_std=[0.5, 0.25, 0.125]).save_pretrained(folder)
    return model


def test_a_classifier_of_transformers_begins_and_teaches_with_its_own_head_and_images(here):
    labels = ["cat", "dog"]
    theirs = save_transformers_vit(here / "weights/theirs", labels)
    fetch_weights("weights/theirs", here / "out", "train.teacher", NO_IMAGES)
    pack = {"image_size": [8, 8], "channels": 3, "mean": [0.4] * 3, "std": [0.5] * 3, "classes": labels[::-1]}
    student = Classifier.new(pack | {"model": ModelParams(patch_size=4).model_dump(), "compute": COMPUTE}, CPU)
    x = torch.randn(5, 3, 8, 8)
    means, deviations = (torch.tensor(values)[:, None, None] for values in ([0.5] * 3, [0.5, 0.25, 0.125]))
    with torch.no_grad():
        expected = theirs((x * 0.5 + 0.4 - means) / deviations).logits.flip(1)
    torch.testing.assert_close(Teacher.load(here / "out", student)(x), expected, atol=1e-5, rtol=1e-5)
    config = read_json(here / "out/config.json")
    same = Classifier.new(pack | {"model": config["model"], "classes": labels, "compute": COMPUTE}, CPU)
    assert initialize(same, here / "out") == [
        "head kept, because its classes are the same",
        "the weights were trained on other values: set pack.mean=[0.5, 0.5, 0.5] and pack.std=[0.5, 0.25, 0.125]",
    ]


def test_a_model_without_names_of_classes_does_not_teach(here):
    save_transformers_vit(here / "weights/theirs", ["cat", "dog"])
    config = read_json(here / "weights/theirs/config.json")
    write_json(here / "weights/theirs/config.json", config | {"id2label": {}})
    fetch_weights("weights/theirs", here / "out", "train.teacher", NO_IMAGES)
    pack = {"image_size": [8, 8], "channels": 3, "mean": [0.4] * 3, "std": [0.5] * 3, "classes": ["cat", "dog"]}
    student = Classifier.new(pack | {"model": ModelParams(patch_size=4).model_dump(), "compute": COMPUTE}, CPU)
    with pytest.raises(UserError, match="does not name its classes; choose a classifier with these 2 classes"):
        Teacher.load(here / "out", student)


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    project = clone(tmp_path_factory.mktemp("work") / "weights")
    write_preset(project.folder / "params.yaml", "shapes")
    return project


def test_the_stage_needs_neither_torch_nor_mlflow_where_nothing_is_named(project):
    program = "import sys; from stages.weights import main; main(); print(sorted({'torch', 'mlflow'} & {*sys.modules}))"
    done = project.run(f'{sys.executable} -c "{program}"')
    assert done.stdout.splitlines() == ["init: none, teacher: none", "[]"]
    assert read_json(project.folder / "data/weights.json") == {"init": None, "teacher": None}
    roles = {path.parent.name for path in (project.folder / "data/weights").rglob("README.txt")}
    assert roles == {"init", "teacher"}


def test_a_change_of_a_named_file_is_noticed_by_dvc_also_behind_a_link_and_nothing_else_is(project, tmp_path):
    alone = "dvc repro --single-item weights"  # without the stages before, whose files these stand for
    for name, content in (("data/audit/images.csv", "path,part\n"), ("data/splits/classes.json", '["a", "b"]')):
        path = project.folder / name
        path.parent.mkdir(parents=True)
        path.write_text(content)
    named = project.folder / "weights/x.safetensors"
    safetensors.torch.save_file(STATE, tmp_path / "real.safetensors")
    named.symlink_to(tmp_path / "real.safetensors")
    write_preset(project.folder / "params.yaml", "shapes", {"train.init_from": "weights/x.safetensors"})
    assert "init: weights/x.safetensors, teacher: none" in project.run(alone).stdout
    write_preset(
        project.folder / "params.yaml", "shapes", {"train.init_from": "weights/x.safetensors", "train.lr": 0.5}
    )
    assert "Stage 'weights' didn't change" in project.run(alone).stdout
    safetensors.torch.save_file(STATE | {"head.bias": torch.zeros(2)}, tmp_path / "real.safetensors")
    assert "Running stage 'weights'" in project.run(alone).stdout
    taken = safetensors.torch.load_file(project.folder / "data/weights/init/model.safetensors")
    assert not taken["head.bias"].any()
