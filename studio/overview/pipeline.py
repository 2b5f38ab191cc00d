"""The pipeline as a graph, and why DVC would rerun a stage."""

from pathlib import Path

import streamlit as st

from studio.charts import data_of
from studio.text import literal
from vit import dvc
from vit.config.files import DVC_LOCK, DVC_YAML, PARAMS
from vit.errors import UserError
from vit.files import project_root
from vit.graph import Stage, stages, without_shortcuts
from vit.next_step import ALWAYS, reasons

# Legible in light and dark: each state brings its own ink. The words say the same as the colours.
COLOURS = {
    "up to date": "fill:#d5efe5,stroke:#009e73,color:#003d2b",
    "changed": "fill:#ffe2b0,stroke:#b36b00,color:#4a2b00",
    "runs each time": "fill:#e4e9f0,stroke:#56708c,color:#1f2d3d",
}


def status_or_none() -> dict[str, list] | None:
    """What `dvc status` says; None, with the sentence on the page, while DVC cannot say it."""
    try:
        return _status(_changed(project_root()))
    except dvc.Busy:
        st.info("DVC is running a stage; what changed shows when it is done.")
        return None
    except UserError as error:
        st.warning(literal(str(error)))
        return None


def _changed(root: Path) -> tuple[int, ...]:
    paths = (root / name for name in (DVC_YAML, DVC_LOCK, PARAMS))
    return tuple(path.stat().st_mtime_ns if path.exists() else 0 for path in paths)


@st.cache_data(ttl=30, max_entries=1, show_spinner="Asking DVC what changed")
def _status(changed: tuple[int, ...]) -> dict[str, list]:
    return dvc.status()


def show_pipeline(status: dict[str, list] | None) -> None:
    """The graph and, one click away, a table with every stage's state."""
    found = stages(project_root())
    rows = [
        {
            "stage": stage.name,
            "state": _state(stage, status),
            "what it does": stage.about,
            "why": "; ".join(reasons((status or {}).get(stage.name, []))),
        }
        for stage in found
    ]
    states = ", ".join(f"{row['stage']} {row['state']}" for row in rows)
    st.mermaid_chart(_mermaid(found, status), alt=f"The stages of the pipeline in order: {states}")
    data_of(rows, "stages")


def _state(stage: Stage, status: dict[str, list] | None) -> str:
    if status is None:
        return "unknown"
    entries = status.get(stage.name)
    return "up to date" if entries is None else "runs each time" if entries == ALWAYS else "changed"


def _mermaid(found: list[Stage], status: dict[str, list] | None) -> str:
    number = {stage.name: f"s{index}" for index, stage in enumerate(found)}
    lines = ["flowchart TD"]
    for stage in found:
        name, state = stage.name.replace('"', ""), _state(stage, status)
        lines.append(f'  {number[stage.name]}["{name}<br/>{state}"]')
        if state in COLOURS:
            lines.append(f"  style {number[stage.name]} {COLOURS[state]}")
    lines += [f"  {number[before]} --> {number[after]}" for before, after in without_shortcuts(found)]
    return "\n".join(lines)
