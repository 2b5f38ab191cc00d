"""Page Look inside."""

import streamlit as st

st.title("Look inside")
