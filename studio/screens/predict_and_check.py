"""Page Predict and check."""

import streamlit as st

st.title("Predict and check")
