"""Page Overview: where the project stands, and what to do next."""

import streamlit as st

from studio.command import show_command
from studio.overview.activity import active, show_last_runs, show_running
from studio.overview.facts import show_champion, show_data_set
from studio.overview.pipeline import show_pipeline, status_or_none
from studio.project import parameters_or_stop
from studio.registry import versions
from studio.text import literal
from vit.errors import UserError
from vit.next_step import changed_stages, next_step

st.title("Overview")
what_next = st.container()
params = parameters_or_stop()
left, right = st.columns(2, gap="large")
with left:
    show_data_set(params)
    st.subheader("Running now")
    show_running()
with right:
    st.subheader("Pipeline")
    status = status_or_none()
    show_pipeline(status)
with left:
    show_champion(params)
    st.subheader("Last runs")
    show_last_runs()

with what_next:
    try:
        names = [job.name for job in active()]
        advice = next_step(None, changed_stages(status or {}), names, params.register_.name, versions())
    except UserError as error:
        st.error(literal(str(error)))
    else:
        st.subheader("Next")
        st.write(literal(advice.sentence))
        if advice.command:
            show_command(advice.command)
