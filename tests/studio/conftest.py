import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory) -> str:
    """An MLflow store without runs and versions, as making one takes seconds."""
    return f"sqlite:///{tmp_path_factory.mktemp('store')}/mlflow.db"


@pytest.fixture
def work(tmp_path, monkeypatch, empty_store) -> Path:
    """An empty project in the current folder; no cache of another test is seen."""
    import streamlit as st

    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in [name for name in os.environ if name.startswith(("DVC_", "MLFLOW_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", empty_store)
    st.cache_data.clear()
    st.cache_resource.clear()
    return folder
