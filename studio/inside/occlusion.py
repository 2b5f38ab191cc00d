"""Occlusion: cover a part of the image and watch the confidence; works for every model."""

import numpy as np
import streamlit as st

from studio.charts import bar_chart
from studio.components.picture import cover
from studio.inside.drawing import show_map, show_picture
from studio.models import Loaded
from studio.picture_choice import Picture
from studio.text import literal


@st.fragment
def show(loaded: Loaded, picture: Picture) -> None:
    """A grey square to drag over the image, and the confidence that remains."""
    import torch

    from vit.evaluation.occlusion import covered, grey_of

    st.header("Occlusion")
    st.markdown(
        "Cover a part of the image with grey and watch the confidence. **What the model needs, it misses at once; "
        "what it never looked at, you can cover for free.** This needs no attention, so it works for every model."
    )
    classifier, grey = loaded.classifier, grey_of(loaded.classifier)
    shorter = min(picture.pixels.shape[:2])
    left, right = st.columns(2)
    with left:
        side = st.slider("Side of the square (pixels)", 1, shorter, max(1, round(shorter * 0.3)), key="occlusion side")
        top, start = cover(picture.pixels, side, grey, key="occlusion square", step=max(1, shorter // 32),
                           label=f"Cover a part of {picture.name}")  # fmt: skip
    images = np.stack([picture.pixels, covered(picture.pixels, top, start, side, grey)])
    whole, hidden = classifier.probabilities(torch.from_numpy(np.array(images)))
    label = int(whole.argmax())
    with right:
        name = classifier.classes[label]
        change = 100 * float(hidden[label] - whole[label])
        st.metric(f"Confidence in {literal(name)}", f"{hidden[label]:.1%}", f"{change:+.1f} points")
        st.caption(f"{whole[label]:.1%} without the square, which lies at row {top}, column {start}.")
        order = np.argsort(-np.maximum(whole, hidden))[:6].tolist()
        rows = [
            {"class": classifier.classes[index], "image": name, "probability": round(float(shares[index]), 4)}
            for index in order
            for name, shares in (("whole", whole), ("covered", hidden))
        ]
        bar_chart(rows, "probability", "class", "image", title="Probabilities", about="probabilities with and without")
    _map(loaded, picture, label)


def _map(loaded: Loaded, picture: Picture, label: int) -> None:
    from vit.evaluation.looking import cell_of

    name = loaded.classifier.classes[label]
    cell = cell_of(loaded.classifier)
    st.markdown(
        f"**The square everywhere at once.** Each cell, {cell} wide, shows how much confidence in {literal(name)} a "
        f"square of {2 * cell} pixels around it costs."
    )
    found = _occlusion_map(loaded.digest, picture.pixels, label, cell, loaded.classifier)
    left, right = st.columns(2)
    with left:
        show_picture(picture.pixels, picture.name)
    with right:
        show_map(picture.pixels, found, f"Occlusion map for {name}", column="cell")
    best = np.unravel_index(found.argmax(), found.shape)
    st.caption(f"The costliest place is row {best[0] + 1}, column {best[1] + 1} of the map: "
               f"{100 * found.max():.1f} points of confidence.")  # fmt: skip


@st.cache_data(max_entries=32, show_spinner="Covering every part once")
def _occlusion_map(digest: str, pixels: np.ndarray, label: int, cell: int, _classifier) -> np.ndarray:
    from vit.evaluation.occlusion import occlusion_map

    return occlusion_map(_classifier, pixels, label, cell, 2 * cell)
