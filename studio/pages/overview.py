"""Page Overview."""

import streamlit as st

st.title("Overview")
