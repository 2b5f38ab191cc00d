"""What is known of a version from before it was served: its predictions for a sample of val, and its test score."""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from vit.config.files import VAL_SAMPLE
from vit.errors import UserError
from vit.files import read_json, replacing_folder, write_json
from vit.monitoring.sample import ValSample, read_val_sample
from vit.registry.versions import registry

SCORES = ("test_accuracy", "test_accuracy_low", "test_accuracy_high")
SCORE_FILE = "scores.json"


@dataclass(frozen=True)
class Known:
    """`scores` are those of SCORES that the version has."""

    val: ValSample
    scores: dict[str, float]


def known_of(name: str, version: str, cache: Path) -> Known:
    """What the registry says of a version, asked once and kept in the folder `cache`.

    Raises UserError if the version does not exist, or was published without a sample of val.
    """
    if not cache.is_dir():
        with registry() as client:
            scores = _scores(client.get_model_version(name, version).tags)
            source = client.get_model_version_download_uri(name, version)
        with tempfile.TemporaryDirectory() as folder, replacing_folder(cache) as temporary:
            shutil.copy(_download(f"{source}/{VAL_SAMPLE}", folder, version), temporary / VAL_SAMPLE)
            write_json(temporary / SCORE_FILE, scores)
    return Known(read_val_sample(cache / VAL_SAMPLE), read_json(cache / SCORE_FILE))


def known_of_folder(folder: Path) -> Known:
    """The same of a folder with a sample of val: an MLflow model, or `evaluation`. Raises UserError if it has none."""
    path = folder / VAL_SAMPLE
    if not path.is_file():
        raise UserError(f"--val {folder}: has no {VAL_SAMPLE}; name a published model's folder, or `evaluation`")
    return Known(read_val_sample(path), {})


def _scores(tags: dict[str, str]) -> dict[str, float]:
    return {name: float(tags[name]) for name in SCORES if name in tags}


def _download(uri: str, folder: str, version: str) -> str:
    import mlflow  # late: what is known already needs no registry

    from vit.tracking.store import STORE_ERRORS, first_line

    try:
        return mlflow.artifacts.download_artifacts(uri, dst_path=folder)
    except STORE_ERRORS as error:
        raise UserError(
            f"version {version} has no {VAL_SAMPLE} to compare with ({first_line(error)}); if an earlier release "
            "published it, publish it again with `dvc repro`"
        ) from error
