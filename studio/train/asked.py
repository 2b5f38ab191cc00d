"""What people asked DVC to do on page Train: it runs beside the pages, and every browser sees that it does."""

import logging
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import streamlit as st

from studio.train.owners import remember
from vit import dvc
from vit.errors import UserError, one_line
from vit.tracking.progress import Seen, interrupt

log = logging.getLogger("vit")

KEPT = 100
STOPS_WITHIN = 60  # seconds, after which a training that still runs can be stopped again


@dataclass(frozen=True)
class Asked:
    """Commands that a button runs; `stops` is the process or task that they stop, if they do."""

    key: str
    doing: str
    owner: str
    stops: str
    result: "Future[None]"
    at: float = field(default_factory=time.monotonic)

    @property
    def is_pending(self) -> bool:
        return not self.result.done()

    @property
    def problem(self) -> str:
        """Why it failed; empty if it did not, or not yet."""
        error = self.result.exception() if self.result.done() else None
        return one_line(error) if isinstance(error, Exception) else ""


@st.cache_resource(show_spinner=False)
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=4, thread_name_prefix="asked")


@st.cache_resource(show_spinner=False)
def _asked() -> dict[str, Asked]:
    """By key, the last one of each."""
    return {}


def ask(
    key: str,
    doing: str,
    commands: Sequence[Sequence[str]],
    owner: str,
    root: Path,
    stops: str = "",
    seen: Seen | None = None,
) -> None:
    """Run commands as they are shown; `doing` says meanwhile what happens. A second click does nothing."""
    known = _asked()
    if key in known and known[key].is_pending:
        return
    known.pop(key, None)
    known[key] = Asked(key, doing, owner, stops, _threads().submit(_work, commands, owner, root, seen))
    for old in list(known)[:-KEPT]:
        known.pop(old, None)


def _work(commands: Sequence[Sequence[str]], owner: str, root: Path, seen: Seen | None) -> None:
    try:
        for command in commands:
            remember(execute(command, root, seen), owner, root)
    except UserError:
        raise
    except Exception:
        log.exception("a button's command has failed")
        raise


def execute(command: Sequence[str], root: Path, seen: Seen | None = None) -> list[str]:
    """Run a command as it is shown; returns the names of the experiments that it queued. Raises UserError."""
    if command[0] != "kill":
        return dvc.queued_names(dvc.execute(command, root))
    assert seen is not None
    interrupt(seen)  # the same signal, to the same process only
    return []


def pending() -> list[Asked]:
    """What DVC is at work on, whoever asked for it."""
    return [one for one in list(_asked().values()) if one.is_pending]


def last(key: str, owner: str) -> Asked | None:
    """What this browser asked for last with a button."""
    found = _asked().get(key)
    return found if found is not None and found.owner == owner else None


def is_stopping(process: str) -> bool:
    """Whether somebody has just stopped this process or task."""
    since = time.monotonic() - STOPS_WITHIN
    return any(one.stops == process and one.at > since and not one.problem for one in list(_asked().values()))
