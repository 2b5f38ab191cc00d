"""What runs now, and what ran last."""

import streamlit as st

from studio.registry import WHEN, runs, score_row
from studio.text import literal
from vit import dvc
from vit.errors import UserError
from vit.files import project_root
from vit.tracking.progress import Seen, trainings

LAST = 5


def running() -> list[Seen]:
    """The trainings whose process is alive, whoever started them."""
    return [one for one in trainings(project_root()) if one.state == "running"]


@st.fragment(run_every=5)
def show_running() -> None:
    """The trainings that go on, and what waits in DVC's queue; it follows by itself."""
    found = running()
    for one in found:
        done, steps = one.how_far["steps"], one.record["steps"]
        left = one.how_far.get("seconds_left")
        rest = f", {left / 60:.0f} min left" if left is not None and left >= 60 else ""
        what = "pretraining, " if one.is_pretraining else ""
        st.progress(one.share, text=literal(f"{one.name}: {what}step {done:,} of {steps:,}{rest}"))
    waiting = _waiting()
    if waiting:
        st.write(f"Queued: {', '.join(literal(task) for task in waiting)}")
    if not found and not waiting:
        st.write("Nothing is being trained. Start a training on the page Train.")


def _waiting() -> list[str]:
    root = project_root()
    if not (root / dvc.QUEUE / "celery").exists():
        return []  # asking would create the queue
    try:
        return [task.name or task.rev for task in _tasks(dvc.queue_changes(root)) if task.state == "Queued"]
    except UserError as error:
        st.warning(literal(str(error)))
        return []


@st.cache_data(max_entries=1, ttl=60, show_spinner=False)
def _tasks(changes: frozenset[str]) -> list[dvc.Task]:
    return dvc.tasks()


def show_last_runs() -> None:
    """The newest runs with their scores."""
    try:
        found = runs()[:LAST]
    except UserError as error:
        st.error(literal(str(error)))
        return
    if not found:
        st.write("There is no run yet. Start one on the page Train.")
        return
    rows = [score_row(run) for run in found]
    number = st.column_config.NumberColumn(format="%.4f")
    shown = {"val accuracy": number, "test accuracy": number, "started": WHEN}
    st.dataframe(rows, hide_index=True, column_config=shown, alt="The last runs with their scores")
