"""The table of runs, and the ones chosen from it."""

from typing import TYPE_CHECKING

import streamlit as st

from studio.registry import WHEN, runs, score_row

if TYPE_CHECKING:
    from vit.registry.runs import RunSummary

MOST = 6  # runs on one chart that can be told apart


def choose_runs() -> "list[RunSummary]":
    """The table, with search and sort, and the runs to look at; the page ends here if there is none."""
    found = runs()
    if not found:
        st.info("There is no run yet. Start one on the page Train, or with `dvc repro`.")
        st.stop()
    wanted = st.text_input(
        "Search runs", placeholder="name, status or parameter, such as train.lr=0.001", key="search_runs"
    )
    matching = [run for run in found if _matches(run, wanted)]
    st.caption(f"{len(matching)} of {len(found)} runs. Click a column's header to sort by it.")
    _show_table(matching)
    titles = titles_of(found)
    finished = [run.id for run in matching if run.status == "FINISHED"]
    chosen = st.multiselect(
        "Runs to look at",
        list(titles),
        default=finished[:2],
        format_func=lambda run_id: titles[run_id],
        max_selections=MOST,
        key="chosen_runs",
        help=f"Up to {MOST}.",
    )
    by_id = {run.id: run for run in found}
    return [by_id[run_id] for run_id in chosen if run_id in by_id]


def titles_of(found: "list[RunSummary]") -> dict[str, str]:
    """A run's name by its id; with the beginning of the id where several runs have the name."""
    names = [run.name for run in found]
    return {run.id: run.name if names.count(run.name) == 1 else f"{run.name} ({run.id[:7]})" for run in found}


def _matches(run: "RunSummary", wanted: str) -> bool:
    """Whether every word occurs in the run's name, status, id, versions or parameters."""
    text = " ".join(
        [run.name, run.id, run.status, *(f"version {number}" for number in run.versions)]
        + [f"{key}={value}" for key, value in run.params.items()]
    ).lower()
    return all(word in text for word in wanted.lower().split())


def _show_table(matching: "list[RunSummary]") -> None:
    if not matching:
        st.write("No run matches; search for less.")
        return
    rows = [
        {
            **score_row(run),
            "low": run.metrics.get("test_accuracy_low"),
            "high": run.metrics.get("test_accuracy_high"),
            "ECE": run.metrics.get("test_ece"),
            "versions": ", ".join(map(str, run.versions)),
            "model": run.params.get("model.name"),
            "epochs": run.params.get("train.epochs"),
            "lr": run.params.get("train.lr"),
        }
        for run in matching
    ]
    number = st.column_config.NumberColumn(format="%.4f")
    shown = dict.fromkeys(("val accuracy", "test accuracy", "low", "high", "ECE"), number) | {"started": WHEN}
    st.dataframe(rows, hide_index=True, column_config=shown, alt="The runs with scores and settings")


def show_differing(chosen: "list[RunSummary]") -> None:
    """The parameters that are not the same in all chosen runs."""
    from vit.registry.runs import differing_params

    titles = list(titles_of(chosen).values())
    differing = differing_params(chosen)
    if not differing:
        st.write("These runs have the same parameters.")
        return
    rows = [{"parameter": key, **dict(zip(titles, values, strict=True))} for key, values in differing.items()]
    st.dataframe(rows, hide_index=True, alt="The parameters that differ between the chosen runs")
