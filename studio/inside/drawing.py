"""Pictures of numbers: maps in colour with their scale in words, and their data one click away."""

import numpy as np
import streamlit as st
from PIL import Image

from studio.text import literal
from vit.evaluation.explain import HEAT, OPACITY, enlarged

SIDE = 360  # pixels of the longer side
MOST = 32  # rows and columns of a table of numbers


def show_map(image: np.ndarray, values: np.ndarray, title: str, *, column: str = "value", side: int = SIDE) -> None:
    """A map (rows, columns) over its image, in colour, and its numbers below."""
    st.image(over(image, values, side), width="stretch", alt=f"{title}, as colours over the image",
             caption=f"dark {values.min():.3g}, yellow {values.max():.3g}")  # fmt: skip
    numbers_of(values, title, column)


def show_heat(values: np.ndarray, title: str, low: float | None = None, high: float | None = None) -> None:
    """A matrix in colour, a rectangle per number, and its numbers below."""
    low, high = (float(values.min()) if low is None else low), (float(values.max()) if high is None else high)
    caption = f"{literal(title)}: dark {low:.3g}, yellow {high:.3g}"
    st.image(heat(values, low, high), width="stretch", alt=title, caption=caption)
    numbers_of(values, title)


def over(image: np.ndarray, values: np.ndarray, side: int = SIDE) -> Image.Image:
    """A map (rows, columns) in colour over a grey image, with sharp edges, so that each patch shows its own value."""
    grey = enlarged(image, side).convert("L").convert("RGB")
    colours = heat(values, float(values.min()), float(values.max())).resize(grey.size, Image.Resampling.NEAREST)
    return Image.blend(grey, colours, OPACITY)


def heat(values: np.ndarray, low: float, high: float, side: int = SIDE) -> Image.Image:
    """A matrix (rows, columns) in the colours of `vit predict --explain`, enlarged without smoothing."""
    shares = np.clip((values - low) / max(high - low, 1e-12), 0, 1)
    anchors = np.linspace(0, 1, len(HEAT))
    colours = np.stack([np.interp(shares, anchors, HEAT[:, channel]) for channel in range(3)], axis=-1)
    return enlarged(colours.round().astype(np.uint8), side)


def numbers_of(values: np.ndarray, title: str, column: str = "value") -> None:
    """The numbers of a map in a table like it, closed until somebody asks."""
    with st.expander(f"Data: {literal(title)}", icon=":material/table:"):
        shown = values[:MOST, :MOST]
        if shown.shape != values.shape:
            st.caption(
                f"the first {shown.shape[0]} x {shown.shape[1]} of {values.shape[0]} x {values.shape[1]} numbers"
            )
        rows = [
            {f"{column}": f"row {number}"} | {str(place): f"{value:.4f}" for place, value in enumerate(line, 1)}
            for number, line in enumerate(shown.tolist(), 1)
        ]
        st.table(rows)


def show_picture(image: np.ndarray, caption: str, side: int = SIDE) -> None:
    """An image as the model sees it."""
    st.image(enlarged(image, side), width="stretch", caption=literal(caption), alt=caption)
