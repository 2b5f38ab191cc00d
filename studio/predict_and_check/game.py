"""One round: paint where the model will look, then check."""

import numpy as np
import streamlit as st

from studio.components.picture import paint
from studio.models import Loaded
from studio.picture_choice import CREDIT, Picture
from studio.predict_and_check.result import mean_map, model_map, show_result
from studio.predict_and_check.rounds import picture_of_round
from studio.text import literal
from vit.errors import UserError, one_line
from vit.evaluation.looking import map_grid
from vit.evaluation.sketch import coverage, painted, scores
from vit.evaluation.sketch_rounds import SKETCHES, keep_round
from vit.files import project_root

FINE = 224  # pixels of the longer side in which a sketch is measured, so that small images have fine brushes


def play(loaded: Loaded) -> None:
    """The round that the session is in, before or after it was checked."""
    number = st.session_state.setdefault("sketch round", 0)
    try:
        picture = picture_of_round(loaded.classifier.config, number)
    except UserError as error:
        st.error(literal(one_line(error)), icon=":material/error:")
        return
    st.header(f"Round {number + 1}")
    if picture.name == "cat and person":
        st.caption(CREDIT)
    key = f"sketch {number} {loaded.digest}"
    large = _fine(picture.pixels)
    left, right = st.columns(2)
    with left:
        label = f"Paint where the model will look in {picture.name}"
        strokes = paint(large, label=label, key=f"{key} strokes")
        sketch = coverage(painted(strokes, *large.shape[:2]), map_grid(loaded.classifier))
        is_checked = f"{key} checked" in st.session_state
        with st.container(horizontal=True):
            if st.button("Check", type="primary", disabled=is_checked or not sketch.any(), key=f"{key} check"):
                _check(loaded, picture, sketch, key)
            if st.button("Next picture", key=f"{key} next"):
                st.session_state["sketch round"] = number + 1
                st.rerun()
    with right:
        _advice(sketch)
    if (checked := st.session_state.get(f"{key} checked")) is not None:
        show_result(loaded, picture, *checked)


def _check(loaded: Loaded, picture: Picture, sketch: np.ndarray, key: str) -> None:
    """Score the sketch as it is now, once, and keep the round."""
    found = scores(sketch, model_map(loaded, picture.pixels), mean_map(loaded))
    keep_round(project_root() / SKETCHES, loaded.digest[:12], picture.name, float(sketch.mean()), found)
    st.session_state[f"{key} checked"] = (sketch, found)
    st.rerun()


def _advice(sketch: np.ndarray) -> None:
    st.markdown(
        "**Paint what you think decides.** The model's own region is cut to the size of your sketch, so painting "
        "everything wins nothing: a small, sure sketch says more than a large one."
    )
    st.metric("Painted", f"{sketch.mean():.0%} of the image")


def _fine(pixels: np.ndarray) -> np.ndarray:
    factor = max(1, round(FINE / max(pixels.shape[:2])))
    return pixels.repeat(factor, axis=0).repeat(factor, axis=1)
