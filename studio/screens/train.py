"""Page Train: watching what trains, parameters, what a training will take, and starting it."""

import streamlit as st

from studio.train.live import show_live
from studio.train.outlook import show_outlook
from studio.train.plan import choose_plan
from studio.train.start import show_start

st.title("Train")
st.header("Now")
show_live()
st.header("A new training")
plan = choose_plan()
if plan is not None:
    show_outlook(plan)
    show_start(plan)
