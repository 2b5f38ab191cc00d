"""Data sets from Kaggle, by its own client: with a time limit, retries, version and licence."""

import logging
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from vit.config.schema import DataParams
from vit.data.sources.folder import copy_folder
from vit.data.sources.labels import label_table
from vit.errors import UserError

log = logging.getLogger("vit")

WAY_OUT = "or download the data set by hand and set data.source=folder, data.path=FOLDER_OR_ARCHIVE"


def fetch_kaggle(data: DataParams, raw: Path, tables: Path) -> dict:
    """Download `data.kaggle_handle` and copy its images and tables; return the record as `fetch` does.

    Raises UserError when Kaggle cannot be reached, refuses, or sends something broken.
    """
    if data.kaggle_version is None:
        about = _about(data)
        version = _known_version(about, data)
        folder = _download(data, version)
    else:
        # Without a server, a pinned version comes from kagglehub's cache; its licence is then unknown.
        version = data.kaggle_version
        folder = _download(data, version)
        try:
            about = _about(data)
        except UserError as error:
            log.warning(f"licence and title are not recorded: {error}")
            about = {}
    about.pop("version", None)
    called = Path(f"{data.kaggle_handle}, version {version}")
    return {
        "version": str(version),
        **_cited(about, version),
        **copy_folder(folder, raw, tables, called, data.class_level, label_table(data)),
    }


def newest_version(data: DataParams) -> dict[str, object]:
    """The parameter that pins the newest version; {} if `data.kaggle_version` pins one. Raises UserError as above."""
    return {} if data.kaggle_version is not None else {"kaggle_version": _known_version(_about(data), data)}


def _known_version(about: dict, data: DataParams) -> int:
    if "version" not in about:
        raise UserError(
            f"Kaggle names no version of '{data.kaggle_handle}'; set data.kaggle_version to a number, {WAY_OUT}"
        )
    return about["version"]


def _download(data: DataParams, version: int) -> Path:
    """The folder in kagglehub's cache; parts of the archive that are already there are not fetched again."""
    import kagglehub
    from kagglehub.cache import get_cached_archive_path
    from kagglehub.handle import parse_dataset_handle

    handle = f"{data.kaggle_handle}/versions/{version}"

    def get():
        try:
            return Path(kagglehub.dataset_download(handle))
        except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, ValueError) as error:
            # kagglehub would treat it as complete in every later run.
            Path(get_cached_archive_path(parse_dataset_handle(handle))).unlink(missing_ok=True)
            raise UserError(
                f"the download of '{handle}' is not a readable archive ({error}); run again, {WAY_OUT}"
            ) from error

    return _patiently(get, handle, data)


def _about(data: DataParams) -> dict:
    """What Kaggle reports about the newest version: any of version, title, owner, licence and url."""
    from kagglehub.clients import build_kaggle_client
    from kagglehub.exceptions import handle_call
    from kagglesdk.datasets.types.dataset_api_service import ApiGetDatasetRequest

    request = ApiGetDatasetRequest()
    request.owner_slug, request.dataset_slug = data.kaggle_handle.split("/")

    def get():
        try:
            with build_kaggle_client() as client:
                return handle_call(lambda: client.datasets.dataset_api_client.get_dataset(request))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise UserError(
                f"Kaggle's response about '{data.kaggle_handle}' cannot be read ({error}); run again later, {WAY_OUT}"
            ) from error

    answer = _patiently(get, data.kaggle_handle, data)
    about = {
        "version": answer.current_version_number,
        "title": answer.title,
        "owner": answer.owner_name,
        "licence": answer.license_name,
        "url": answer.url,
    }
    return {key: value for key, value in about.items() if value}


def _cited(about: dict, version: int) -> dict:
    """With a citation, if Kaggle reports a title."""
    if "title" not in about:
        return about
    words = [about.get("owner"), about["title"], f"Kaggle, version {version}", about.get("url")]
    return about | {"citation": ". ".join(filter(None, words))}


def _patiently(call: Callable, handle: str, data: DataParams):
    """The result of `call`, retried after 1, 2, 4 ... seconds if that may help. Raises UserError."""
    from kagglehub.exceptions import DataCorruptionError

    tried = 0
    while True:
        tried += 1
        try:
            with _limit_of_silence(data.kaggle_timeout):
                return call()
        except (OSError, DataCorruptionError) as error:
            reason, advice, may_pass = _explained(error, handle, data.kaggle_timeout)
            if not may_pass or tried > data.kaggle_retries:
                tries = f", {tried} tries" if tried > 1 else ""
                raise UserError(f"{reason}{tries}; {advice}, {WAY_OUT}") from error
        pause = 2 ** (tried - 1)
        log.warning(f"{reason}; try {tried + 1} of {data.kaggle_retries + 1} in {pause} s")
        time.sleep(pause)


def _explained(error: Exception, handle: str, timeout: int) -> tuple[str, str, bool]:
    """What went wrong, what to do about it, and whether a retry may help."""
    from kagglehub.exceptions import KaggleApiHTTPError
    from requests import RequestException

    if isinstance(error, KaggleApiHTTPError):
        status = error.response.status_code
        advice = "check data.kaggle_handle and data.kaggle_version"
        return f"Kaggle responded with {status} for '{handle}'", advice, status == 429 or status >= 500
    if isinstance(error, RequestException):
        # A stall in the middle of a body is a ConnectionError like others: only its text tells them apart.
        reason = f"no byte for {timeout} s" if "timed out" in str(error) else type(error).__name__
        return f"Kaggle cannot be reached for '{handle}' ({reason})", "check the network", True
    if isinstance(error, OSError):
        return f"the download of '{handle}' cannot be stored ({error})", "free some space", False
    return f"the download of '{handle}' arrived corrupted and was deleted", "run again", True


@contextmanager
def _limit_of_silence(seconds: int) -> Iterator[None]:
    """End every request in this context after that many seconds without a byte.

    Kaggle's client has no timeout and no setting for one, and `requests`, which it uses, has no default to set.
    """
    from requests.adapters import HTTPAdapter

    send = HTTPAdapter.send

    def send_with_limit(self, request, stream=False, timeout=None, verify=True, cert=None, proxies=None):
        return send(self, request, stream, seconds, verify, cert, proxies)

    HTTPAdapter.send = send_with_limit
    try:
        yield
    finally:
        HTTPAdapter.send = send
