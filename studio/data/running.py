"""The stages that fetch and split the images, as they run: they outlive the page."""

import re
from pathlib import Path

import streamlit as st

from vit.background import Job, look, stop
from vit.files import project_root

JOB = Path(".vit/studio/data")
STAGES = ("download", "split", "pack")
STAGE = re.compile(r"^(?:Running stage '(\w+)'|Stage '(\w+)' (?:didn't change|is cached))", re.M)


def is_running() -> bool:
    job = look(project_root() / JOB)
    return job is not None and job.is_running


def show_running() -> None:
    """What the last run of the stages printed, alive while it runs."""
    if (job := look(project_root() / JOB)) is None:
        return
    if job.is_running:
        _alive()
    else:
        _status(job)


@st.fragment(run_every=1.0)
def _alive() -> None:
    job = look(project_root() / JOB)
    if job is None or not job.is_running:
        st.rerun()
    _status(job)
    if st.button("Stop", key="data stop"):
        stop(project_root() / JOB)


def _status(job: Job) -> None:
    command = " ".join(job.command)
    reached = [first or second for first, second in STAGE.findall(job.output)]
    if job.is_running:
        at = reached[-1] if reached else "start"
        place = STAGES.index(at) if at in STAGES else 0
        st.progress(place / len(STAGES), f"`{command}` runs: {at}")
    elif job.succeeded:
        st.success(f"`{command}` is done.", icon=":material/check:")
    else:
        said = [line for line in job.output.splitlines() if line.lower().startswith("error:")]
        st.error(f"`{command}` did not finish; its output says why.", icon=":material/error:")
        if said:
            st.code(said[0], language=None, wrap_lines=True)
    with st.expander("Output", expanded=job.is_running):
        st.code(job.output or "nothing yet", language=None, wrap_lines=True, height=240)
