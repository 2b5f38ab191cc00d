"""The model as `mlflow models serve` loads it: code plus model.safetensors and config.json, no pickle.

One input column, `image`: a base64-encoded image file, plain or as a data URL. One prediction per row.
"""

import base64
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.pyfunc import PythonModel
from mlflow.store.artifact.models_artifact_repo import REGISTERED_MODEL_META_FILE_NAME
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
from mlflow.types.schema import Map
from ruamel.yaml import YAML

from vit.serving import guard
from vit.serving.batching import Batcher
from vit.serving.cores import Cores
from vit.serving.refusal import Refusal
from vit.serving.settings import NO_INDEX, UNKNOWN, Limits, Options, batch_wait
from vit.serving.uploads import read_images

SIGNATURE = ModelSignature(
    inputs=Schema([ColSpec(DataType.string, "image")]),
    outputs=Schema(
        [
            ColSpec(DataType.string, "label"),
            ColSpec(DataType.long, "index"),
            ColSpec(DataType.double, "confidence"),
            ColSpec(Map(DataType.double), "probabilities"),
            ColSpec(DataType.string, "model_version"),
            ColSpec(DataType.string, "explanation", required=False),
        ]
    ),
    params=ParamSchema(
        [
            ParamSpec("top_k", DataType.long, None),
            ParamSpec("threshold", DataType.double, None),
            ParamSpec("explain", DataType.boolean, False),
        ]
    ),
)


class ServedClassifier(PythonModel):
    """A Classifier behind MLflow's scoring server; client errors get a 4xx with one sentence.

    Threads share the classifier and its settings, which do not change after `load_context`, `batches` and `cores`.
    """

    def load_context(self, context) -> None:
        from vit.inference.classifier import Classifier  # late: publishing needs only the signature
        from vit.inference.folding import folded

        settings = dict(context.model_config)
        folder = Path(context.artifacts["model"])
        self.classifier = folded(Classifier.load(folder)).to(settings.pop("precision"))
        self.batches = Batcher(self._rows, wait=batch_wait(settings.pop("batch_wait_ms")))
        self.limits = Limits.read(settings)
        self.cores = Cores()
        self.version = _version(folder.parents[1])
        if guard.inside_scoring_server():
            guard.install(self.answer, self.limits, len(self.classifier.classes))

    # pyrefly: ignore[bad-override]  # MLflow's method has no body, so it seems to return None
    def predict(self, context, model_input: pd.DataFrame, params=None) -> list[dict]:
        """`answer` for the column `image` of a data frame."""
        return self.answer(model_input["image"].tolist(), params or {})

    def answer(self, texts: list[str], params: dict) -> list[dict]:
        """One prediction per image in base64: label, its index in the model's class order, confidence in [0, 1],
        probabilities by class name, version of the model.

        `params`: `top_k` keeps the k most likely classes; below `threshold` the label is "unknown" and the index -1;
        `explain` adds a map of where the model looked, a PNG in base64. Raises Refusal.
        """
        options = Options.read(params, len(self.classifier.classes))
        if options.explain and not self.classifier.has_attention:
            raise Refusal("this model has no attention maps to explain a prediction; send the request without explain")
        with self.batches.request() as rows_of:
            with self.cores.decoding() as over:
                images = read_images(texts, self.classifier.config, self.limits, over)
            rows = rows_of(images)
        return [self._prediction(image, row, options) for image, row in zip(images, rows, strict=True)]

    def _rows(self, images: np.ndarray) -> np.ndarray:
        """Probabilities (N, classes) of images (N, H, W, C)."""
        import torch

        return self.cores.rows(lambda part: self.classifier.probabilities(torch.from_numpy(part)), images)

    def _prediction(self, image: np.ndarray, probabilities: np.ndarray, options: Options) -> dict:
        likeliest = np.argsort(-probabilities, kind="stable")[: options.top_k]
        by_class = {self.classifier.classes[index]: float(probabilities[index]) for index in likeliest}
        label, confidence = next(iter(by_class.items()))
        index = int(likeliest[0])
        if options.threshold is not None and confidence < options.threshold:
            label, index = UNKNOWN, NO_INDEX
        prediction = {"label": label, "index": index, "confidence": confidence, "probabilities": by_class}
        prediction["model_version"] = self.version
        if options.explain:
            from vit.evaluation.explain import explanation_png

            picture = self.cores.explained(explanation_png, self.classifier, image, int(likeliest[0]))
            prediction["explanation"] = base64.b64encode(picture).decode()
        return prediction


def _version(folder: Path) -> str:
    """The registered version, which MLflow records beside a model downloaded from the registry; else empty."""
    origin = folder / REGISTERED_MODEL_META_FILE_NAME
    return str(YAML(typ="safe", pure=True).load(origin)["model_version"]) if origin.exists() else ""


mlflow.models.set_model(ServedClassifier())
