"""`vit export`: the written file, loaded by the program it is meant for, gives the model's probabilities."""

import json

import numpy as np
import pytest
import torch

from tests.inference.test_export import WITHOUT_ONNX, classifier_of, needs_onnx, pictures
from tests.shapes import CLASSES
from vit.data.batches import normalize, to_unit
from vit.errors import UserError
from vit.inference.classifier import CONFIG, Classifier
from vit.inference.export import TOLERANCE
from vit.inference.timm_format import write_timm

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def classifier(tmp_path_factory) -> Classifier:
    return classifier_of(tmp_path_factory.mktemp("model"), drop_rate=0.3, drop_path_rate=0.2)


@pytest.fixture
def export(tmp_path, monkeypatch, vit, classifier):
    """Run the command in a folder of its own; its status and what it printed to stdout and stderr."""
    classifier.save(tmp_path / "model", classifier.model.state_dict())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    return lambda *arguments: vit("export", "--model", "model", *arguments)


def test_the_torch_program_answers_batches_of_any_size_as_the_model_and_knows_the_classes(export, tmp_path, classifier):
    status, out, err = export("--format", "torch", "new/m.pt2")
    assert (status, err) == (0, "")
    assert out.startswith(
        "new/m.pt2: uint8 (batch, 8, 8, 1) to probabilities of 4 classes; differs from the model by at most "
    )
    extra = {CONFIG: ""}
    program = torch.export.load(tmp_path / "new/m.pt2", extra_files=extra).module()
    for count in (1, 2, 77):
        answers = program(pictures(count))
        assert answers.dtype == torch.float32 and answers.shape == (count, 4) and not answers.requires_grad
        np.testing.assert_allclose(answers.numpy(), classifier.probabilities(pictures(count)), atol=1e-6)
    config = json.loads(extra[CONFIG])
    assert config["classes"] == CLASSES and config["image_size"] == [8, 8]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["m.pt2"]


@needs_onnx
def test_the_onnx_file_holds_its_weights_answers_as_the_model_and_knows_the_classes(export, tmp_path, classifier):
    import onnxruntime

    status, out, _ = export("--format", "onnx", "m.onnx")
    assert status == 0 and "(batch, 8, 8, 1)" in out
    assert (tmp_path / "m.onnx").stat().st_size > 4 * classifier.parameter_count
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    for count in (1, 2, 77):
        (answers,) = session.run(["probabilities"], {"images": pictures(count).numpy()})
        np.testing.assert_allclose(answers, classifier.probabilities(pictures(count)), atol=TOLERANCE)
    assert json.loads(session.get_modelmeta().custom_metadata_map[CONFIG])["classes"] == CLASSES


def test_what_the_parity_check_refuses_is_not_written(export, tmp_path, monkeypatch):
    monkeypatch.setattr("vit.inference.export.TOLERANCE", -1.0)  # even equal answers differ by more
    status, out, err = export("--format", "torch", "m.pt2")
    assert (status, out) == (1, "") and err.startswith("error: nothing was written") and err.count("\n") == 1
    assert list(tmp_path.glob("*.pt2")) == []


def test_timm_loads_the_folder_made_for_it_and_gives_the_models_probabilities(export, tmp_path, classifier):
    import timm

    status, out, err = export("--format", "timm", "new/m")
    assert (status, err) == (0, "")
    assert out.startswith(
        'new/m: timm.create_model("local-dir:new/m", pretrained=True) gives the logits of 4 classes; '
    )
    theirs = timm.create_model(f"local-dir:{tmp_path / 'new/m'}", pretrained=True).eval()
    assert list(theirs.pretrained_cfg["mean"]) == classifier.mean and theirs.pretrained_cfg["crop_mode"] == "center"
    x = normalize(to_unit(pictures(5)), classifier.mean, classifier.std)
    with torch.inference_mode():
        answers = (theirs(x) / classifier.config.get("temperature", 1.0)).softmax(dim=1)
    np.testing.assert_allclose(answers.numpy(), classifier.probabilities(pictures(5)), atol=TOLERANCE)
    status, out, err = export("--format", "timm", "new/m")
    assert (status, out, err) == (1, "", "error: new/m exists already; name a new folder\n")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"stem": "conv", "patch_size": 2, "stem_widths": [8]}, "timm has no model with stem 'conv'"),
        ({"norm_eps": 1e-3}, "timm has no model with norm_eps 0.001"),
        ({"name": "cnn"}, "--format timm is for Vision Transformers, not for cnn"),
    ],
    ids=str,
)
def test_what_timm_has_no_model_for_is_refused(tmp_path, changes, reason):
    with pytest.raises(UserError, match=f"{reason}; use --format onnx or torch"):
        write_timm(classifier_of(tmp_path, **changes), tmp_path)
    assert not (tmp_path / "model.safetensors").exists()


@pytest.mark.skipif(not WITHOUT_ONNX, reason="the packages for ONNX are installed")
def test_a_missing_package_is_named_with_the_command_that_installs_it(export):
    status, out, err = export("--format", "onnx", "m.onnx")
    assert (status, out) == (1, "")
    assert err == (
        f"error: --format onnx needs {', '.join(WITHOUT_ONNX)}; run `pip install --requirement requirements-export.txt "
        "--constraint constraints.txt`\n"
    )


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--format", "torch", "m.onnx"], 1, "m.onnx: OUT must end in .pt2; for example m.pt2"),
        (["--format", "onnx", "m.pt2"], 1, "m.pt2: OUT must end in .onnx; for example m.onnx"),
        (["--format", "torch", "m.pt2", "--model", "nowhere"], 1, "no trained model in nowhere"),
        (["--format", "tflite", "m.pt2"], 2, "'tflite' is not one of 'onnx', 'timm', 'torch'"),
        (["--format", "torch"], 2, "Missing argument 'OUT'"),
        (["m.pt2"], 2, "Missing option '--format'"),
    ],
)
def test_a_mistake_is_named(export, arguments, status, message):
    found, out, err = export(*arguments)
    assert (found, out) == (status, "") and message in err
    assert status == 2 or (err.startswith("error: ") and err.count("\n") == 1)
