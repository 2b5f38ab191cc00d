"""Page Runs: what was trained, which run is better and where it is wrong, and which version is champion."""

import streamlit as st

from studio.project import parameters_or_stop
from studio.runs.chosen import choose_runs, show_differing
from studio.runs.compared import show_comparison, show_confusions, show_slices
from studio.runs.curves import show_curves
from studio.runs.versions import show_versions
from studio.text import literal
from vit.errors import UserError

st.title("Runs")
parameters_or_stop()
try:
    chosen = choose_runs()
    finished = [run for run in chosen if run.status == "FINISHED"]
    if not chosen:
        st.info("Choose runs above to see their curves, comparison and mistakes.")
    else:
        st.header("Parameters that differ")
        show_differing(chosen)
        st.header("Curves")
        show_curves(chosen)
    if finished:
        st.header("Comparison")
        show_comparison(finished)
        st.header("Confusion")
        show_confusions(finished)
        st.header("Slices")
        show_slices(finished)
    st.header("Versions")
    show_versions()
except UserError as error:
    st.error(literal(str(error)))
