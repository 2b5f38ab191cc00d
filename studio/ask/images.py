"""Which images to ask about: dropped files, a picture of the camera, or samples from the test split."""

import random

import streamlit as st

from studio.command import show_command
from studio.text import literal
from studio.uploads import MOST, Upload, read_files, uploaded_images
from vit.config.files import RAW, SPLITS
from vit.data.manifest import read_rows
from vit.errors import UserError
from vit.files import project_root

FILES, CAMERA, SAMPLES = "Files", "Camera", "Samples from the test split"


def choose_images() -> list[Upload]:
    """The widgets and what was chosen with them; each content once."""
    kind = st.segmented_control("Images from", [FILES, CAMERA, SAMPLES], default=FILES, key="ask images")
    if kind == CAMERA:
        picture = st.camera_input("Take a picture", key="ask camera")
        chosen = [Upload("camera.jpg", picture.getvalue())] if picture else []
    elif kind == SAMPLES:
        chosen = _samples()
    else:
        chosen = uploaded_images("Drop images here", "ask files")
    return list({one.digest: one for one in chosen}.values())


def _samples() -> list[Upload]:
    root = project_root()
    table = root / SPLITS / "test.csv"
    if not table.is_file():
        st.info("There is no test split yet. Run the pipeline, or its first stages:")
        show_command(["dvc", "repro", "split"])
        return []
    rows = read_rows(table)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        most = min(len(rows), MOST)
        count = int(st.number_input("How many", 1, most, min(6, most), key="ask count"))
        if st.button("Draw others", key="ask draw"):
            st.session_state["ask seed"] = st.session_state.get("ask seed", 0) + 1
    drawn = random.Random(st.session_state.get("ask seed", 0)).sample(rows, count)
    try:
        names = [row.path for row in drawn]
        return read_files([root / RAW / name for name in names], names, [row.label for row in drawn])
    except UserError as error:
        st.error(literal(str(error)))
        return []
