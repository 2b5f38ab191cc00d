"""Runs and versions as MLflow has them, read at most every few seconds."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st

from studio.project import parameters

if TYPE_CHECKING:
    from vit.registry.runs import RunSummary

FRESH = 5  # seconds
WHEN = st.column_config.DatetimeColumn("started (UTC)", format="YYYY-MM-DD HH:mm", timezone="UTC")


def runs() -> "list[RunSummary]":
    """All runs, newest first. Raises UserError if the store does not respond."""
    return _runs(parameters().register_.name)


def score_row(run: "RunSummary") -> dict[str, object]:
    """The first columns of every table of runs."""
    return {
        "run": run.name,
        "status": run.status.lower(),
        "started": run.started,
        "val accuracy": run.metrics.get("best_val_accuracy"),
        "test accuracy": run.metrics.get("test_accuracy"),
    }


def versions() -> list[dict]:
    """All versions, newest first, as `vit registry list --json` prints them; [] before the first one."""
    params = parameters()
    return _versions(params.register_.name, params.evaluate.confidence_level)


def champion() -> dict | None:
    """The version that is champion."""
    return next((one for one in versions() if "champion" in one["aliases"]), None)


def forget() -> None:
    """Read again what a command has just changed."""
    _runs.clear()
    _versions.clear()


@st.cache_data(ttl=FRESH, show_spinner="Reading the runs")
def _runs(name: str) -> "list[RunSummary]":
    from vit.registry.runs import list_runs

    return list_runs(name)


@st.cache_data(ttl=FRESH, show_spinner="Reading the versions")
def _versions(name: str, confidence_level: float) -> list[dict]:
    from vit.registry.overview import versions_if_any

    return versions_if_any(name, confidence_level)


@st.cache_data(max_entries=200, ttl=60, show_spinner="Reading a curve")
def curve(run_id: str, metric: str, status: str, points: Sequence[float] = ()) -> list[tuple[int, float]]:
    """The points (step, value) of a run's metric; `status` and `points`, if they change, have it read again."""
    from vit.registry import runs as library

    return library.curve(run_id, metric)


@st.cache_data(max_entries=50, show_spinner="Reading a table of the run")
def table(run_id: str, path: str) -> list[dict[str, str]]:
    """A CSV that a finished run published. Raises UserError if it has none."""
    from vit.registry.runs import table_of

    return table_of(run_id, path)
