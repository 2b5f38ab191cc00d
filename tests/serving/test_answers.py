"""What is answered: by params, over HTTP and in a clean process, alike from every thread."""

import base64
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import REPO
from tests.serving.conftest import clean_environment
from tests.serving.pictures import encoded, good, picture
from tests.shapes import CLASSES
from tests.test_dvc_yaml import imports
from vit.registry.served import SERVED_WITH, served_code

pytestmark = pytest.mark.long

FILES = [good(seed, kind) for seed, kind in enumerate(("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF"))]


@pytest.fixture(scope="module")
def right(served) -> list[dict]:
    return served.classifier.classify([BytesIO(file) for file in FILES])


def test_a_prediction_holds_label_index_confidence_every_class_and_the_version(served, right):
    for one, other in zip(served.ask(*FILES), right, strict=True):
        assert list(one) == ["label", "index", "confidence", "probabilities", "model_version"]
        assert CLASSES[one["index"]] == one["label"]
        assert (one["label"], one["confidence"]) == (other["label"], pytest.approx(other["confidence"], abs=1e-5))
        assert one["probabilities"] == pytest.approx(other["probabilities"], abs=1e-5)
        assert list(one["probabilities"].values()) == sorted(one["probabilities"].values(), reverse=True)
    assert len({one["label"] for one in right}) > 1


@pytest.mark.parametrize("top_k", [1, 2, 4])
def test_top_k_keeps_the_likeliest_classes(served, right, top_k):
    for one, other in zip(served.ask(*FILES, top_k=top_k), right, strict=True):
        likeliest = sorted(other["probabilities"], key=other["probabilities"].get, reverse=True)[:top_k]
        assert list(one["probabilities"]) == likeliest


def test_below_the_threshold_the_label_is_unknown_without_index_and_the_confidence_stays(served, right):
    between = (min(one["confidence"] for one in right) + max(one["confidence"] for one in right)) / 2
    labels = [one["label"] if one["confidence"] >= between else "unknown" for one in right]
    answers = served.ask(*FILES, threshold=between)
    assert [one["label"] for one in answers] == labels and len(set(labels) - {"unknown"}) < len(set(labels))
    assert [one["index"] for one in answers] == [-1 if one == "unknown" else CLASSES.index(one) for one in labels]
    assert [one["confidence"] for one in answers] == pytest.approx([one["confidence"] for one in right], abs=1e-5)


def test_explain_adds_a_small_png_that_differs_from_image_to_image(served):
    pictures = [base64.b64decode(one["explanation"]) for one in served.ask(*FILES[:2], explain=True)]
    drawn = [np.asarray(Image.open(BytesIO(data), formats=["PNG"])) for data in pictures]
    assert all(max(image.shape) == 224 and len(data) < 100_000 for image, data in zip(drawn, pictures, strict=True))
    assert not np.array_equal(*drawn)


def test_threads_answer_as_one_after_the_other(served, right):
    def ask(number: int) -> dict:
        (answer,) = served.ask(FILES[number % 6], explain=number % 5 == 0)
        return answer["probabilities"]

    with ThreadPoolExecutor(16) as pool:
        for number, probabilities in enumerate(pool.map(ask, range(60))):
            assert probabilities == pytest.approx(right[number % 6]["probabilities"], abs=1e-5)


CLEAN = """
import json, mlflow, pandas, sys
def ask(**settings):
    model = mlflow.pyfunc.load_model(sys.argv[1], model_config=settings)
    return model.predict(pandas.DataFrame({"image": texts}))
texts = json.load(sys.stdin)
answers = {precision: ask(precision=precision) for precision in ("float32", "bfloat16")}
try:
    ask(max_rows=5)
except mlflow.MlflowException as refused:
    answers["max_rows"] = str(refused)
model = mlflow.pyfunc.load_model(sys.argv[1])
explained = model.predict(pandas.DataFrame({"image": texts}), params={"explain": True})
answers["explained"] = ["explanation" in answer for answer in explained]
code = {name: module.__file__ for name, module in sys.modules.items() if name.split(".")[0] == "vit"}
print(json.dumps(answers | {"code": code, "path": sys.path}))
"""


@pytest.fixture(scope="module")
def clean(served, tmp_path_factory) -> dict:
    """Answers of the model in a fresh Python, in another folder, with the settings that are named."""
    done = subprocess.run(
        [sys.executable, "-c", CLEAN, str(served.model)],
        input=json.dumps([base64.b64encode(file).decode() for file in FILES]),
        cwd=tmp_path_factory.mktemp("clean"),
        env=clean_environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_model_answers_as_here_in_a_clean_process_that_does_not_know_the_repo(served, clean, right):
    assert str(REPO) not in clean["path"] and all(clean["explained"])
    code = {name: Path(file).relative_to(served.model / "code").as_posix() for name, file in clean["code"].items()}
    assert set(code.values()) <= set(served_code()) and code["vit.evaluation.explain"] == "vit/evaluation/explain.py"
    for one, other in zip(clean["float32"], right, strict=True):
        assert one["probabilities"] == pytest.approx(other["probabilities"], abs=1e-5)


def test_bf16_differs_from_fp32_within_what_params_yaml_says(clean):
    pairs = zip(clean["bfloat16"], clean["float32"], strict=True)
    differences = [
        abs(one["probabilities"][name] - other["probabilities"][name]) for one, other in pairs for name in CLASSES
    ]
    assert 0 < max(differences) < 0.02


def test_who_serves_may_set_the_limits_anew(clean):
    assert "more than 5 rows" in clean["max_rows"]


@pytest.mark.parametrize("package", ["cli", "registry", "tracking", "data/sources", "data/audit"])
def test_what_travels_with_the_model_knows_nothing_of(package):
    assert [file for file in served_code() if file.startswith(f"vit/{package}/")] == []


def test_what_travels_with_the_model_imports_nothing_that_its_requirements_lack():
    paths = set(served_code()) - {"vit/models/baselines.py"}
    names = {name.split(".")[0] for path in paths for name in imports(path)}
    # torchvision, which it imports late, is added for a model from there.
    names |= {name.split(".")[0] for name in imports("vit/models/baselines.py", at_start_only=True)}
    packages = {"PIL": "pillow", "ruamel": "ruamel.yaml", "pydantic_core": "pydantic"}
    optional = {"pillow_heif"}  # for HEIC alone, which is refused with its name where it is missing
    used = {packages.get(name, name) for name in names - optional - sys.stdlib_module_names - {"vit"}}
    assert used <= set(SERVED_WITH)


def test_a_picture_in_a_data_url_is_answered_as_its_bytes(served):
    file = encoded(picture(9))
    url = f"data:image/png;base64,{base64.b64encode(file).decode()}"
    status, answer = served.post(json.dumps({"instances": [{"image": url}]}).encode())
    assert status == 200 and json.loads(answer)["predictions"] == served.ask(file)
