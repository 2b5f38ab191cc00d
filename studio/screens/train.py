"""Page Train: parameters, what a training will take, starting it, and watching all that run."""

import streamlit as st

from studio.train.plan import choose_plan

st.title("Train")
plan = choose_plan()
