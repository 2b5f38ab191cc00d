"""Importing torch and MLflow while a person reads the first page, so that no later page waits for them."""

import threading
from importlib import import_module

import streamlit as st

SLOW = ("vit.inference.classifier", "mlflow", "vit.registry.loading")


@st.cache_resource(show_spinner=False)
def import_in_background() -> threading.Thread:
    """Start the imports, once per server."""
    thread = threading.Thread(target=lambda: [import_module(name) for name in SLOW], daemon=True)
    thread.start()
    return thread
