"""The settings of the served model, set when it was published, and the params of a request."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from mlflow.exceptions import MlflowException

from vit.serving.refusal import Refusal

UNKNOWN, NO_INDEX = "unknown", -1  # label and index of a prediction below the threshold


SETTINGS = ("max_rows", "max_bytes", "max_pixels", "batch_wait_ms", "precision")  # of section `register`

# Settings about the server, not the model. They are published switched off, as MLflow lets a server override only
# settings that are published.
FOLLOWING = {"follow": None, "follow_seconds": 30.0}
LOGGING = {"log_predictions": None, "log_seconds": 10.0, "log_days": 30, "log_images_days": 0}
MOST_LOG_SECONDS = 30  # `vit monitor` takes a window for complete a minute after its end
OF_THE_SERVER = FOLLOWING | LOGGING


@dataclass(frozen=True)
class Following:
    """The alias whose version is served, None for the version that the server was started with; and how often the
    registry is asked for it, in seconds."""

    alias: str | None
    seconds: float


@dataclass(frozen=True)
class Logging:
    """The folder of the prediction log; how often it is written, in seconds; after how many days its files and the
    images are deleted. No images are kept if `image_days` is 0."""

    folder: Path
    seconds: float
    days: float
    image_days: float


class Settings(NamedTuple):
    """Settings of the served model, and those of the server; `logging` is None if predictions are not logged."""

    model: dict
    following: Following
    logging: Logging | None


def split_settings(values: dict) -> Settings:
    """Raises MlflowException for bad values of the server's settings; those of the model are checked later."""
    values = OF_THE_SERVER | values
    alias = _name(values, "follow", "an alias, such as champion")
    following = Following(alias, _number(values, "follow_seconds", 0.1, 86400))
    folder = _name(values, "log_predictions", "a folder, such as .vit/predictions")
    seconds, days = _number(values, "log_seconds", 0.1, MOST_LOG_SECONDS), _number(values, "log_days", 0.01, 36500)
    image_days = _number(values, "log_images_days", 0, 36500)
    logging = None if folder is None else Logging(Path(folder), seconds, days, image_days)
    model = {name: value for name, value in values.items() if name not in OF_THE_SERVER}
    return Settings(model, following, logging)


def _name(values: dict, key: str, meaning: str) -> str | None:
    value = values[key]
    if value is not None and (not isinstance(value, str) or not value):
        raise MlflowException(f"{key} is {value!r}; it must be the name of {meaning}")
    return value


def _number(values: dict, key: str, low: float, high: float) -> float:
    value = values[key]
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise MlflowException(f"{key} is {value!r}; it must be a number from {low:g} to {high:g}")
    return value


@dataclass(frozen=True)
class Limits:
    """Limits of one request, from section `register`: rows, bytes of its body, pixels of all its images together."""

    max_rows: int
    max_bytes: int
    max_pixels: int

    @classmethod
    def read(cls, values: dict) -> "Limits":
        """Raises MlflowException unless each value is an integer >= 1: they can be overridden at serving time."""
        for name, value in values.items():
            if type(value) is not int or value < 1:
                raise MlflowException(f"{name} is {value!r}; it must be an integer >= 1")
        return cls(**values)


def batch_wait(milliseconds: object) -> float:
    """register.batch_wait_ms in seconds; raises MlflowException unless it is a number from 0 to 1000."""
    is_number = isinstance(milliseconds, int | float) and not isinstance(milliseconds, bool)
    if not is_number or not 0 <= milliseconds <= 1000:
        raise MlflowException(f"batch_wait_ms is {milliseconds!r}; it must be a number from 0 to 1000")
    return milliseconds / 1000


@dataclass(frozen=True)
class Options:
    """The params of one request; None if not given."""

    top_k: int | None
    threshold: float | None
    explain: bool

    @classmethod
    def read(cls, params: dict, classes: int) -> "Options":
        """Raises Refusal for an unknown name, a wrong type or a value out of range; null counts as absent."""
        if not params.keys() <= {"top_k", "threshold", "explain"}:
            raise Refusal('"params" has an unknown name; valid names are top_k, threshold and explain')
        given = {name: value for name, value in params.items() if value is not None}
        top_k, threshold = given.get("top_k"), given.get("threshold")
        if top_k is not None and (not isinstance(top_k, int) or isinstance(top_k, bool) or not 1 <= top_k <= classes):
            raise Refusal(f"top_k must be an integer from 1 to {classes}, the number of classes")
        if threshold is not None and (isinstance(threshold, bool) or not _is_share(threshold)):
            raise Refusal("threshold must be a number from 0 to 1")
        if not isinstance(given.get("explain", False), bool):
            raise Refusal("explain must be true or false")
        return cls(top_k, threshold, given.get("explain", False))


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and 0 <= value <= 1
