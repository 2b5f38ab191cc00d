"""`python -m vit.export`: the written file, loaded by the program it is meant for, answers as the model."""

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.presets import preset
from tests.shapes import CLASSES, shapes, untrained
from vit.errors import UserError, run_program
from vit.export import ONNX_PACKAGES, TOLERANCE, check_parity, main, to_onnx, to_torch
from vit.inference.classifier import CONFIG, Classifier

WITHOUT_ONNX = [name for name in ONNX_PACKAGES if find_spec(name) is None]
needs_onnx = pytest.mark.skipif(
    bool(WITHOUT_ONNX), reason=f"{', '.join(WITHOUT_ONNX)} not installed: see requirements-export.txt"
)


def classifier_of(folder: Path, **changes) -> Classifier:
    values = {"train.device": "cpu"} | {f"model.{key}": value for key, value in changes.items()}
    return untrained(preset(folder, "shapes", values), shapes(folder, 2))


@pytest.fixture(scope="module")
def classifier(tmp_path_factory) -> Classifier:
    return classifier_of(tmp_path_factory.mktemp("model"), drop_rate=0.3, drop_path_rate=0.2)


@pytest.fixture
def export(tmp_path, monkeypatch, capsys, classifier):
    """Run the command in a folder of its own; its status and what it printed to stdout and stderr."""
    classifier.save(tmp_path / "model", classifier.model.state_dict())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["vit.export", "--model", "model", *arguments])
        status = 0
        try:
            run_program(main)
        except SystemExit as ended:
            status = int(ended.code)
        return status, *capsys.readouterr()

    return run


def pictures(count: int) -> torch.Tensor:
    random = np.random.default_rng(count)
    return torch.from_numpy(random.integers(0, 256, (count, 8, 8, 1), dtype=np.uint8))


def test_the_torch_program_answers_batches_of_any_size_as_the_model_and_knows_the_classes(export, tmp_path, classifier):
    status, out, err = export("--format", "torch", "new/m.pt2")
    assert (status, err) == (0, "")
    assert out.startswith("new/m.pt2: uint8 (batch, 8, 8, 1) to probabilities of 4 classes, within ")
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


@needs_onnx
@pytest.mark.slow
@pytest.mark.parametrize("attention", ["math", "fused"])
def test_every_variant_of_the_model_can_be_written_as_onnx(tmp_path, attention):
    classifier = classifier_of(tmp_path, pool="avg", pos_embed="sincos2d", norm="rmsnorm", qkv_bias=False)
    for block in classifier.model.blocks:
        block.attn.fused_attn = attention == "fused"
    assert check_parity(classifier, to_onnx(classifier)[1]) <= TOLERANCE


def test_a_model_with_average_pooling_and_rmsnorm_is_exported_too_and_not_taken_for_another(tmp_path):
    classifier = classifier_of(tmp_path, pool="avg", pos_embed="sincos2d", norm="rmsnorm", qkv_bias=False)
    _, run = to_torch(classifier)
    assert check_parity(classifier, run) <= TOLERANCE
    for change in ({"mean": [0.3]}, {"std": [0.9]}):
        with pytest.raises(UserError, match="nothing was written"):
            check_parity(Classifier(classifier.model, classifier.config | change, classifier.device), run)


@pytest.mark.parametrize("wrong", [1.1 * TOLERANCE, -0.5, float("nan")])
def test_one_answer_beyond_the_tolerance_is_an_error_and_one_within_is_not(classifier, wrong):
    def off_by(amount: float):
        def run(images: np.ndarray) -> np.ndarray:
            answers = classifier.probabilities(torch.from_numpy(images)).copy()
            answers[-1, 2] += amount
            return answers

        return run

    with pytest.raises(UserError, match=r"nothing was written: .* at most 1e-05 is allowed"):
        check_parity(classifier, off_by(wrong))
    assert check_parity(classifier, off_by(0.5 * TOLERANCE)) == pytest.approx(0.5 * TOLERANCE, rel=0.01)


def test_what_the_parity_check_refuses_is_not_written(export, tmp_path, monkeypatch):
    monkeypatch.setattr("vit.export.TOLERANCE", -1.0)  # even equal answers differ by more
    status, out, err = export("--format", "torch", "m.pt2")
    assert (status, out) == (1, "") and err.startswith("error: nothing was written") and err.count("\n") == 1
    assert list(tmp_path.glob("*.pt2")) == []


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
        (["--format", "torch", "m.onnx"], 1, "m.onnx: names no .pt2 file; call it m.pt2, say"),
        (["--format", "onnx", "m.pt2"], 1, "m.pt2: names no .onnx file; call it m.onnx, say"),
        (["--format", "torch", "m.pt2", "--model", "nowhere"], 1, "no trained model in nowhere"),
        (["--format", "tflite", "m.pt2"], 2, "invalid choice: 'tflite'"),
        (["--format", "torch"], 2, "required: OUT"),
        (["m.pt2"], 2, "required: --format"),
    ],
)
def test_a_mistake_is_named(export, arguments, status, message):
    found, out, err = export(*arguments)
    assert (found, out) == (status, "") and message in err
    assert status == 2 or (err.startswith("error: ") and err.count("\n") == 1)
