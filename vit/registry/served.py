"""The folder that MLflow serves: serving code, weights and config.json, and serving settings."""

import hashlib
import json
import shutil
import tempfile
import warnings
from importlib.metadata import version as installed
from pathlib import Path

import mlflow

from vit.config.files import CONFIG, VAL_SAMPLE
from vit.config.model import family_named
from vit.files import read_json
from vit.registry.golden import Evaluated, write_golden
from vit.release import VERSION
from vit.serving.settings import OF_THE_SERVER
from vit.source_code import import_closure

ROOT = Path(__file__).parents[2]  # folder of the package: the repo, or site-packages
SERVED = "vit/serving/pyfunc.py"
SERVED_WITH = (
    "mlflow",
    "httptools",
    "torch",
    "numpy",
    "pandas",
    "pillow",
    "psutil",
    "pyarrow",
    "pydantic",
    "ruamel.yaml",
    "safetensors",
)


def save_served(
    path: Path, model_folder: Path, settings: dict[str, float | str], evaluated: Evaluated | None = None
) -> None:
    """Write an MLflow model to the new folder `path`, with golden images and the sample of val from `evaluated`.

    `settings` (max_rows, max_bytes, max_pixels, batch_wait_ms, precision) are stored in its MLmodel as `config`, with
    following and logging switched off, and can be overridden at serving time:
    MLFLOW_PYFUNC_INFERENCE_CONFIG='{"max_rows": 8}' mlflow models serve ...
    """
    from vit.serving.pyfunc import SIGNATURE  # late: the import also registers the model with MLflow

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        for file in served_code():
            (Path(folder) / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / file, Path(folder) / file)
        warnings.simplefilter("ignore", UserWarning)  # no input example: the golden images are not for people
        mlflow.pyfunc.save_model(
            path=path,
            python_model=str(ROOT / SERVED),
            artifacts={"model": str(model_folder)},
            code_paths=[f"{folder}/vit"],
            signature=SIGNATURE,
            model_config=OF_THE_SERVER | settings,
            pip_requirements=[f"{name}=={installed(name).split('+')[0]}" for name in _packages(model_folder)],
            metadata={"vit_version": VERSION},
        )
    if evaluated is not None:
        write_golden(path, model_folder, evaluated)
        sample = evaluated.predictions.with_name(VAL_SAMPLE)
        if sample.is_file():  # an earlier release evaluated without it
            shutil.copy(sample, path / VAL_SAMPLE)


def served_code(root: Path = ROOT) -> list[str]:
    """The files that serving imports and the `__init__.py` of their folders; sorted, relative to `root`."""
    modules = import_closure(root, SERVED)
    folders = {folder for module in modules for folder in Path(module).parents[:-1]}
    return sorted(modules | {(folder / "__init__.py").as_posix() for folder in folders})


def served_key(settings: dict[str, float | str], root: Path = ROOT) -> str:
    """A digest of everything that `save_served` adds to the weights; if it changes, the served model is rewritten."""
    digest = hashlib.sha256()
    for file in served_code(root):
        digest.update(file.encode() + b"\0" + hashlib.sha256((root / file).read_bytes()).digest())
    return f"{digest.hexdigest()[:12]} {json.dumps(settings, sort_keys=True)}"


def _packages(model_folder: Path) -> tuple[str, ...]:
    name = read_json(model_folder / CONFIG)["model"].get("name", "vit")
    return (*SERVED_WITH, *family_named(name).requirements)
