"""A server that follows an alias of the registry: it loads, proves and serves the version that the alias points to.

    MLFLOW_PYFUNC_INFERENCE_CONFIG='{"follow": "champion"}' mlflow models serve -m models:/vit@champion

All of it happens in a thread beside the requests. Until a version has passed its proof, the one before it answers.
"""

import json
import logging
import os
import random
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from mlflow.models.model import MLMODEL_FILE_NAME

from vit.config.files import CONFIG
from vit.errors import UserError, one_line
from vit.files import read_json
from vit.serving.cores import Cores
from vit.serving.golden import GOLDEN
from vit.serving.settings import OF_THE_SERVER, SETTINGS, Following, split_settings
from vit.serving.version import ServedVersion

INFERENCE_CONFIG = "MLFLOW_PYFUNC_INFERENCE_CONFIG"
JITTER = 0.2  # share of the interval: servers that were started together do not ask together
PATIENCE = {  # MLflow's own are minutes; what is set already stays
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_SQLALCHEMYSTORE_POOLCLASS": "NullPool",  # a kept connection would outlive a database that was replaced
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
log = logging.getLogger("vit.serving")  # warnings, as MLflow's server shows nothing below

Load = Callable[[Path, str], ServedVersion]


class Follower:
    """Asks again and again which version `name`@`alias` is, and swaps to it if it passes its proof.

    A version that fails is refused, said once, and not tried again until the alias has pointed elsewhere. A registry
    or artifact store that does not respond is said once, and asked again the next time.
    """

    def __init__(
        self, name: str, following: Following, serving: ServedVersion, load: Load, swap: Callable[[ServedVersion], None]
    ):
        """`load` gets the folder of an MLflow model and its version number. Raises MlflowException without a `name`."""
        if not name:
            raise MlflowException(
                f"follow is '{following.alias}', but this model does not come from a registry; start the server with "
                "-m models:/NAME@ALIAS"
            )
        assert following.alias is not None
        self._name, self._alias, self._seconds = name, following.alias, following.seconds
        self._load, self._swap = load, swap
        self._version = serving.version
        self._refused: str | None = None
        self._missing: str | None = None  # what did not respond, and was said

    def start(self) -> None:
        for variable, value in PATIENCE.items():
            os.environ.setdefault(variable, value)
        threading.Thread(target=self._work, name="following", daemon=True).start()

    def _work(self) -> None:
        import torch  # late, as for publishing

        torch.set_num_threads(1)  # of this thread: the proof leaves the other cores to requests
        while True:
            self.turn()
            time.sleep(self._seconds * random.uniform(1 - JITTER, 1 + JITTER))

    def turn(self) -> None:
        """Ask once, and swap if there is something to swap to. Raises nothing."""
        alias = f"models:/{self._name}@{self._alias}"
        try:
            number = self._number()
        except Exception as error:
            self._say_missing(alias, error)
            return
        if number in (self._version, self._refused):
            self._missing = None
            self._refused = None if number == self._version else self._refused
            return
        source = f"models:/{self._name}/{number}"
        try:
            with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as target:
                folder = Path(mlflow.artifacts.download_artifacts(source, dst_path=target))
                if not (folder / MLMODEL_FILE_NAME).is_file():  # MLflow does not miss a local folder that is away
                    raise UserError(f"there is no {MLMODEL_FILE_NAME}")
                self._missing = None
                self._take(folder, number)
        except Exception as error:
            self._say_missing(f"the files of {source}", error)

    def _take(self, folder: Path, number: str) -> None:
        try:
            version = self._load(folder, number)
        except Exception as error:
            self._refused = number
            reason = one_line(error).replace(f"{folder}/", "")
            reason = reason if isinstance(error, UserError) else f"{type(error).__name__}: {reason}"
            log.warning(f"version {number} is refused, version {self._version} goes on: {reason}")
            return
        self._swap(version)
        log.warning(f"version {number} is served from now on, after version {self._version}")
        self._version, self._refused = number, None

    def _number(self) -> str:
        """The version that the alias points to now."""
        _require_database(mlflow.get_registry_uri())
        return str(mlflow.MlflowClient().get_model_version_by_alias(self._name, self._alias).version)

    def _say_missing(self, what: str, error: Exception) -> None:
        if self._missing != what:
            log.warning(f"{what} cannot be read, version {self._version} goes on: {one_line(error)}")
        self._missing = what


def _require_database(uri: str) -> None:
    """Raises UserError if a database file is missing: MLflow would create an empty one in its place."""
    scheme, _, path = uri.partition(":///")
    if scheme.startswith("sqlite") and not Path(unquote(path.partition("?")[0])).is_file():
        raise UserError(f"{uri} does not exist; put it back, or set MLFLOW_TRACKING_URI and restart the server")


def load_version(
    folder: Path, number: str, cores: Cores, overrides: dict, with_features: bool = False
) -> ServedVersion:
    """The version in the folder of an MLflow model, by the code that runs, after its proof.

    Raises UserError for settings that this code does not know.
    """
    flavor = Model.load(folder).flavors["python_function"]
    model = folder / flavor["artifacts"]["model"]["path"]
    from vit.inference.classifier import NEEDED  # late, as for publishing

    config = read_json(model / CONFIG) if (model / CONFIG).is_file() else {}
    unknown = flavor["config"].keys() - {*SETTINGS, *OF_THE_SERVER} | config.keys() - {*NEEDED, "temperature"}
    if unknown:
        raise UserError(
            f"it has settings that this server does not know ({', '.join(sorted(unknown))}); restart the server, which "
            "then runs the version's own code"
        )
    settings = split_settings(flavor["config"] | overrides).model
    return ServedVersion.load(model, settings, cores, number, folder / GOLDEN, with_features)


def overrides(settings: dict, folder: Path) -> dict:
    """The settings in use that were given at serving time, rather than published with the model in `folder`."""
    published = Model.load(folder).flavors["python_function"]["config"]
    given = json.loads(os.environ.get(INFERENCE_CONFIG) or "{}")
    return {
        name: value
        for name, value in settings.items()
        if name in given or name not in published or value != published[name]
    }
