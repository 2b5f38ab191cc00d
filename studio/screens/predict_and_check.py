"""Page Predict and check: sketch where the model will look, then see where it did."""

import streamlit as st

from studio.models import choose_model
from studio.predict_and_check.game import play
from studio.predict_and_check.rounds import show_progress

st.title("Predict and check")
st.markdown("Do you know where your model looks? Sketch it first, then see. Ten rounds make a score.")
if loaded := choose_model("sketch"):
    play(loaded)
show_progress()
