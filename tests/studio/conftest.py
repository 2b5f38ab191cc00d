import os
from pathlib import Path

import pytest


@pytest.fixture
def work(tmp_path, monkeypatch) -> Path:
    """An empty project in the current folder, whose MLflow store is its own; no cache of another test is seen."""
    import streamlit as st

    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in [name for name in os.environ if name.startswith(("DVC_", "MLFLOW_"))]:
        monkeypatch.delenv(name)
    st.cache_data.clear()
    st.cache_resource.clear()
    return folder
