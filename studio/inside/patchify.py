"""Patchify: an image cut into patches of any size, how many tokens that makes, and what attention costs."""

import numpy as np
import streamlit as st
from PIL import Image

from studio.charts import show_chart
from studio.inside.drawing import SIDE
from studio.models import Loaded
from studio.picture_choice import Picture
from vit.inference.patches import apart, attention_multiply_adds, patch_sizes, token_count
from vit.quantities import flops

MOST_PATCHES = 4096  # more are neither seen nor drawn apart


@st.fragment
def show(loaded: Loaded, picture: Picture) -> None:
    """The image cut into patches of any size, and what attention then costs."""
    st.header("Patchify")
    st.markdown(
        "A Vision Transformer reads an image as a sentence of patches. **Halve the patch, and there are four times "
        "as many tokens; attention compares every token with every other, so it costs sixteen times as much.**"
    )
    config = loaded.classifier.config
    size, model = config["image_size"], config["model"]
    own = model["patch_size"] if loaded.classifier.has_attention else None
    sizes = [side for side in patch_sizes(size) if token_count(size, side) <= MOST_PATCHES]
    default = own if own in sizes else min(sizes, key=lambda side: abs(side - min(size) / 8))
    patch = st.select_slider("Patch size (pixels)", sizes, value=default, key="patchify size")
    width, depth = (model["embed_dim"], model["depth"]) if own else (768, 12)
    tokens = token_count(size, patch)
    left, right = st.columns(2)
    with left:
        _draw(picture, patch)
    with right:
        first, second = st.columns(2)
        first.metric("Tokens", f"{tokens:,}", help="patches; a class token comes on top")
        second.metric("Numbers in a patch", f"{patch * patch * config['channels']:,}")
        cost = 2 * attention_multiply_adds(tokens, width, depth)
        first.metric("Attention", flops(cost), help="q·k and attention times v, in all blocks, one image")
        second.metric("Comparisons in one head", f"{tokens**2:,}", help="every token with every token")
        st.caption(
            f"For {depth} blocks of width {width}"
            + (", as in this model." if own else ": those of ViT-B, as this model has no attention.")
            + (f" This model's patches are {own} pixels wide." if own else "")
        )
    _chart(size, sizes, width, depth, patch)


def _draw(picture: Picture, patch: int) -> None:
    factor = max(1, SIDE // max(picture.pixels.shape[:2]))
    large = picture.pixels.repeat(factor, axis=0).repeat(factor, axis=1)
    laid = Image.fromarray(apart(np.ascontiguousarray(large), patch * factor, gap=max(2, factor // 3)))
    st.image(laid, width="stretch", caption=f"{patch} x {patch} pixels a patch", alt="the image, its patches apart")


def _chart(size: list[int], sizes: list[int], width: int, depth: int, chosen: int) -> None:
    import altair as alt

    rows = [
        {
            "patch size": side,
            "tokens": token_count(size, side),
            "attention FLOPs": 2 * attention_multiply_adds(token_count(size, side), width, depth),
            "chosen": "chosen" if side == chosen else "other",
        }
        for side in sizes
    ]
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("tokens", type="quantitative", scale=alt.Scale(type="log"), title="tokens"),
        y=alt.Y("attention FLOPs", type="quantitative", scale=alt.Scale(type="log"), title="FLOPs of attention"),
        tooltip=[alt.Tooltip(name, type="quantitative") for name in ("patch size", "tokens", "attention FLOPs")],
    )
    points = base.mark_point(filled=True, size=120, opacity=1).encode(
        color=alt.Color("chosen", type="nominal", title=None, legend=None,
                        scale=alt.Scale(domain=["chosen", "other"], range=["#d55e00", "#0072b2"])),
        shape=alt.Shape("chosen", type="nominal", legend=None),
    )  # fmt: skip
    about = f"FLOPs of attention against tokens for each patch size; {chosen} is chosen"
    show_chart((base.mark_line() + points).properties(height=260), rows, "Cost of attention by patch size", about)
