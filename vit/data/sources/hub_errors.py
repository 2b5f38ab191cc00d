"""Errors of the Hugging Face hub, in one line with the way out and never with a token."""

import re
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

from vit.errors import UserError, one_line
from vit.redaction import redacted

COMMIT = re.compile(r"[0-9a-f]{40}")
# Without a network; OfflineModeIsEnabled and LocalEntryNotFoundError come with HF_HUB_OFFLINE.
UNREACHABLE = {"OfflineModeIsEnabled", "LocalEntryNotFoundError", "TransportError", "ConnectionError"}
LIBRARY = "pip install --requirement requirements-hub.txt --constraint constraints.txt"


@dataclass(frozen=True)
class Repository:
    """What is fetched from the hub, and the words for it in messages.

    `named` and `pinned` say which parameters to change, `way_out` what to do without the hub.
    """

    kind: str  # "data set" or "model"
    name: str  # owner/name
    revision: str | None
    named: str  # "data.hub_name"
    pinned: str  # "set data.hub_revision to"
    way_out: str

    @property
    def is_pinned(self) -> bool:
        return self.revision is not None and COMMIT.fullmatch(self.revision) is not None

    @property
    def page(self) -> str:
        return f"huggingface.co/{'datasets/' if self.kind == 'data set' else ''}{self.name}"


class HubError(UserError):
    """`reason` is `unreachable` if the hub did not respond, so that an earlier run's cache may be used; `moved` if it
    does not have this revision; `refused` for what it says about the repository; else `unknown`."""

    def __init__(self, message: str, reason: Literal["unreachable", "moved", "refused", "unknown"]):
        super().__init__(message)
        self.reason = reason


def require_library(library: str, what: str) -> None:
    """Raises UserError unless `library` is installed, which `what` needs."""
    if find_spec(library) is None:
        raise UserError(f"{what} needs the library {library}, which is not installed: {LIBRARY}")


def explained(error: Exception, asked: Repository) -> HubError:
    """The error for what the libraries raised while fetching `asked`."""
    name, said = f"'{asked.name}'", without_secrets(one_line(error))
    kinds = {kind.__name__ for link in _chain(error) for kind in type(link).__mro__}
    statuses = [status for link in _chain(error) if (status := _status(link))]
    if "GatedRepoError" in kinds or "gated dataset" in said:
        return HubError(
            f"{name} is gated: accept its terms at {asked.page}, and log in by `hf auth login` or the environment "
            "variable HF_TOKEN",
            "refused",
        )
    if "RevisionNotFoundError" in kinds:
        return HubError(f"{name} has no revision '{asked.revision}'; {asked.pinned} one of its commits", "moved")
    if kinds & {"RepositoryNotFoundError", "DatasetNotFoundError"} or statuses[:1] in ([401], [404]):
        return HubError(
            f"the hub has no {asked.kind} {name}, or it is private; check {asked.named}, and log in by "
            "`hf auth login` or HF_TOKEN if it is yours",
            "refused",
        )
    if statuses:
        return HubError(f"the hub responded with {statuses[0]} for {name}; run again later, {asked.way_out}", "refused")
    if kinds & UNREACHABLE:
        return HubError(
            f"the hub cannot be reached for {name} ({type(error).__name__}); check the network, {asked.way_out}",
            "unreachable",
        )
    return HubError(f"{name} cannot be loaded ({type(error).__name__}: {said[:300]}); {asked.way_out}", "unknown")


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
