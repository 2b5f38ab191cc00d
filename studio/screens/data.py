"""Page Data: the source, what the audit found, the split and its leakage, label errors and corrections."""

import streamlit as st

from studio.command import show_command
from studio.data.decisions import show_corrections, show_suspects
from studio.data.found import (
    show_classes,
    show_left_out,
    show_near_duplicates,
    show_samples,
    show_scale,
    show_sizes,
)
from studio.data.leakage import show_split
from studio.data.running import is_running, show_running
from studio.data.source import show_source
from vit.config.files import AUDIT, SPLIT_METRICS
from vit.files import project_root, read_json

st.title("Data")
show_source()
show_running()

audit, figures = project_root() / AUDIT / "audit.json", project_root() / SPLIT_METRICS
if audit.is_file() and figures.is_file():
    found = read_json(audit)
    show_split(found, read_json(figures))
    show_classes(found)
    show_sizes(found)
    show_scale(found)
    show_samples(found)
    show_left_out(found)
    show_near_duplicates(found)
    by = st.text_input("Your name, for the record of corrections", max_chars=100, key="by")
    show_suspects(by)
    show_corrections()
elif not is_running():
    st.info("No images have been fetched yet. Choose a source above and fetch them, or run:")
    show_command(["dvc", "repro", "pack"])
