"""The model as `mlflow models serve` loads it: code plus model.safetensors and config.json, no pickle.

One input column, `image`: a base64-encoded image file, plain or as a data URL. One prediction per row.
"""

from functools import partial
from pathlib import Path

import mlflow
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.pyfunc import PythonModel
from mlflow.store.artifact.models_artifact_repo import REGISTERED_MODEL_META_FILE_NAME
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
from mlflow.types.schema import Map
from ruamel.yaml import YAML

from vit.serving import guard
from vit.serving.cores import Cores
from vit.serving.following import Follower, load_version, overrides
from vit.serving.prediction_log import PredictionLog
from vit.serving.settings import split_settings
from vit.serving.version import ServedVersion

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

    With the setting `follow` it serves whatever version that alias points to; see `vit.serving.following`. With
    `log_predictions` the server logs its predictions; see `vit.serving.prediction_log`.
    """

    def load_context(self, context) -> None:
        folder = Path(context.artifacts["model"])
        settings, following, logging = split_settings(context.model_config)
        serves = guard.inside_scoring_server()
        predictions = PredictionLog(logging, guard.at_shutdown) if serves and logging is not None else None
        name, number = _registered(folder.parents[1])
        cores = Cores()
        with_features = predictions is not None
        self.serving = ServedVersion.load(folder, settings, cores, number, with_features=with_features)
        if following.alias is not None:
            given = overrides(context.model_config, folder.parents[1])
            load = partial(load_version, cores=cores, overrides=given, with_features=with_features)
            self.follower = Follower(name, following, self.serving, load, self.swap)
            self.follower.start()
        if serves:
            guard.install(lambda: self.serving, predictions)

    # pyrefly: ignore[bad-override]  # MLflow's method has no body, so it seems to return None
    def predict(self, context, model_input: pd.DataFrame, params=None) -> list[dict]:
        """The answers of the version that is served now, for the column `image` of a data frame."""
        return self.serving.answer(model_input["image"].tolist(), params or {}).predictions

    def swap(self, version: ServedVersion) -> None:
        before, self.serving = self.serving, version
        before.batches.close()


def _registered(folder: Path) -> tuple[str, str]:
    """Name and version that MLflow records beside a model downloaded from the registry; else both are empty."""
    origin = folder / REGISTERED_MODEL_META_FILE_NAME
    known = YAML(typ="safe", pure=True).load(origin) if origin.exists() else {}
    return str(known.get("model_name", "")), str(known.get("model_version", ""))


mlflow.models.set_model(ServedClassifier())
