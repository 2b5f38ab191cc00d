"""The model as `mlflow models serve` loads it: code plus model.safetensors and config.json, no pickle.

One input column, `image`: an image file in base64. One answer per row: label, confidence in [0, 1] and the
probability of every class.
"""

import base64
import binascii
from io import BytesIO
from pathlib import Path

import mlflow
import pandas as pd
from mlflow.exceptions import INVALID_PARAMETER_VALUE, MlflowException
from mlflow.models import ModelSignature
from mlflow.pyfunc import PythonModel
from mlflow.types import ColSpec, DataType, Schema
from mlflow.types.schema import Map

from vit.errors import UserError

SIGNATURE = ModelSignature(
    inputs=Schema([ColSpec(DataType.string, "image")]),
    outputs=Schema(
        [
            ColSpec(DataType.string, "label"),
            ColSpec(DataType.double, "confidence"),
            ColSpec(Map(DataType.double), "probabilities"),
        ]
    ),
)


class ServedClassifier(PythonModel):
    """A Classifier behind MLflow's scoring server; a person's mistake is answered 400 with one sentence."""

    def load_context(self, context) -> None:
        from vit.inference import Classifier  # publishing needs only the signature, and torch costs seconds

        self.classifier = Classifier.load(Path(context.artifacts["model"]))

    def predict(self, context, model_input: pd.DataFrame, params=None) -> list[dict]:
        if len(model_input) == 0:
            raise _refusal("no images were sent: column 'image' has no rows")
        try:
            return self.classifier.classify([_decode(row, text) for row, text in enumerate(model_input["image"])])
        except UserError as error:
            raise _refusal(str(error)) from None


def _decode(row: int, text: str) -> BytesIO:
    try:
        return BytesIO(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError, TypeError):
        raise _refusal(f"row {row}: not base64; send the bytes of an image file, encoded in base64") from None


def _refusal(message: str) -> MlflowException:
    return MlflowException(message, error_code=INVALID_PARAMETER_VALUE)


mlflow.models.set_model(ServedClassifier())
