"""A model with a distillation token behind the program that MLflow serves."""

import base64
from io import BytesIO

import pandas as pd
import pytest
from mlflow.pyfunc import PythonModelContext
from PIL import Image

from tests.drawn import draw
from tests.serving.conftest import LIMITS, new_classifier
from vit.serving.pyfunc import ServedClassifier


def test_a_distilled_model_is_served_as_it_answers_and_explained(tmp_path):
    classifier = new_classifier(tmp_path, distilled=True)
    assert classifier.model.head_dist.weight.any()
    classifier.save(tmp_path / "served/artifacts/model", classifier.model.state_dict())
    served = ServedClassifier()
    served.load_context(PythonModelContext({"model": str(tmp_path / "served/artifacts/model")}, LIMITS))
    files = [draw(tmp_path / f"{seed}.png", seed, 16, 24, 3) for seed in range(3)]
    texts = [base64.b64encode(file.read_bytes()).decode() for file in files]
    answers = served.predict(None, pd.DataFrame({"image": texts}), {"explain": True})
    for answer, expected in zip(answers, classifier.classify(files), strict=True):
        assert answer["probabilities"] == pytest.approx(expected["probabilities"], abs=1e-6)
        assert Image.open(BytesIO(base64.b64decode(answer["explanation"]))).format == "PNG"
