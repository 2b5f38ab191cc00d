"""Errors of the Hugging Face hub, in one line with the way out and never with a token."""

import re
from importlib.util import find_spec

from vit.config.schema import DataParams
from vit.errors import UserError, one_line
from vit.redaction import redacted

COMMIT = re.compile(r"[0-9a-f]{40}")
LIBRARY = "pip install --requirement requirements-hub.txt --constraint constraints.txt"
WAY_OUT = "or download the data set by hand and set data.source=folder, data.path=FOLDER_OR_ARCHIVE"


class HubError(UserError):
    """`unreachable`: the hub did not respond, so the cache of an earlier run may be used."""

    unreachable = False


def require_library() -> None:
    if find_spec("datasets") is None:
        raise UserError(f"data.source huggingface needs the library datasets, which is not installed: {LIBRARY}")


def explained(error: Exception, data: DataParams) -> HubError:
    """The error for what the libraries raised while fetching `data.hub_name`."""
    name, said = f"'{data.hub_name}'", without_secrets(one_line(error))
    kinds = {kind.__name__ for link in _chain(error) for kind in type(link).__mro__}
    statuses = [status for link in _chain(error) if (status := _status(link))]
    if "GatedRepoError" in kinds or "gated dataset" in said:
        found = HubError(
            f"{name} is gated: accept its terms at huggingface.co/datasets/{data.hub_name}, and log in by "
            "`hf auth login` or the environment variable HF_TOKEN"
        )
    elif "RevisionNotFoundError" in kinds:
        found = HubError(f"{name} has no revision '{data.hub_revision}'; set data.hub_revision to one of its commits")
    elif kinds & {"RepositoryNotFoundError", "DatasetNotFoundError"} or statuses[:1] in ([401], [404]):
        found = HubError(
            f"the hub has no data set {name}, or it is private; check data.hub_name, and log in by `hf auth login` or "
            "HF_TOKEN if it is yours"
        )
    elif statuses:
        found = HubError(f"the hub responded with {statuses[0]} for {name}; run again later, {WAY_OUT}")
    elif kinds & {"OfflineModeIsEnabled", "ConnectError", "ConnectTimeout", "ReadTimeout", "ConnectionError"}:
        found = HubError(f"the hub cannot be reached for {name} ({type(error).__name__}); check the network, {WAY_OUT}")
        found.unreachable = True
    elif "Config name is missing" in said or "BuilderConfig" in said:
        found = HubError(f"data.hub_config {data.hub_config} of {name}: {said}")
    elif "Dataset scripts are no longer supported" in said:
        found = HubError(
            f"{name} is a Python script, which is not run; set data.hub_revision to the commit of its branch "
            f"refs/convert/parquet, {WAY_OUT}"
        )
    else:
        found = HubError(f"{name} cannot be loaded ({type(error).__name__}: {said[:300]}); {WAY_OUT}")
    return found


def without_secrets(text: str) -> str:
    """The text as `redacted`, and without a token that `hf auth login` has stored."""
    return redacted(re.sub(r"\bhf_\w{6,}", "hf_***", text))


def _chain(error: BaseException | None) -> list[BaseException]:
    links = []
    while error is not None and error not in links:
        links.append(error)
        error = error.__cause__ or error.__context__
    return links


def _status(error: BaseException) -> int | None:
    return getattr(getattr(error, "response", None), "status_code", None)
