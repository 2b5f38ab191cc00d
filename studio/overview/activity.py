"""What runs now, and what ran last."""

import streamlit as st

from studio.registry import WHEN, runs, score_row
from studio.text import literal
from studio.train.asked import pending
from studio.train.jobs import ACTIVE, Job, jobs
from vit.errors import UserError
from vit.files import project_root

LAST = 5


def active() -> list[Job]:
    """What trains, waits, or is about to begin or end, whoever started it. Raises UserError as `jobs`."""
    return [job for job in jobs(project_root()) if job.state in ACTIVE]


@st.fragment(run_every=5)
def show_running() -> None:
    """The trainings that go on and those that wait; it follows by itself."""
    asked = pending()
    try:
        found = active()
    except UserError as error:
        st.warning(literal(str(error)))
        return
    for one in asked:
        st.write(literal(one.doing))
    for job in found:
        if job.seen is not None and job.state != "queued":
            st.progress(job.seen.share, text=literal(job.words))
        else:
            st.write(literal(job.words))
    if not found and not asked:
        st.write("Nothing is being trained. Start a training on the page Train.")


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
