"""The folder that MLflow serves: this package's code, the two files of the model, and the settings of serving."""

import json
import warnings
from importlib.metadata import version as installed
from pathlib import Path

import mlflow

from vit.config.model import family_named
from vit.files import read_json, sha256_of
from vit.registry.versions import CONFIG

PACKAGE = Path(__file__).parents[1]
SERVED_WITH = ("mlflow", "httptools", "torch", "numpy", "pandas", "pillow", "psutil", "ruamel.yaml", "safetensors")


def save_served(path: Path, model_folder: Path, settings: dict[str, int | str]) -> None:
    """Write an MLflow model to the new folder `path`.

    `settings` (max_rows, max_bytes, max_pixels, precision) stand in its MLmodel as `config`, where the person who
    serves it can override them: MLFLOW_PYFUNC_INFERENCE_CONFIG='{"max_rows": 8}' mlflow models serve ...
    """
    from vit.serving.pyfunc import SIGNATURE  # late, as the import also names the model to serve to MLflow

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # no input example: it would be an image of the data set
        mlflow.pyfunc.save_model(
            path=path,
            python_model=str(PACKAGE / "serving" / "pyfunc.py"),
            artifacts={"model": str(model_folder)},
            code_paths=[str(PACKAGE)],
            signature=SIGNATURE,
            model_config=settings,
            pip_requirements=[f"{name}=={installed(name).split('+')[0]}" for name in _packages(model_folder)],
        )


def _packages(model_folder: Path) -> tuple[str, ...]:
    name = read_json(model_folder / CONFIG)["model"].get("name", "vit")
    return (*SERVED_WITH, *family_named(name).requirements)


def served_key(settings: dict[str, int | str]) -> str:
    """A digest of what `save_served` adds to the weights: with another one, a version is written again."""
    return f"{sha256_of(*sorted(PACKAGE.rglob('*.py')))[:12]} {json.dumps(settings, sort_keys=True)}"
