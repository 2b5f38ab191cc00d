"""Attention: click a patch and see what it attends to, by block and head, by rollout and by gradient."""

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st
from PIL import Image

from studio.charts import show_chart
from studio.components.picture import pick
from studio.inside.drawing import over, show_map
from studio.inside.samples import images_of_test
from studio.models import Loaded
from studio.picture_choice import Picture
from studio.text import literal

if TYPE_CHECKING:
    from torch import Tensor

    from vit.inference.classifier import Classifier

PLAIN, ROLLOUT, GRADIENT = "Attention", "Rollout", "Gradient x attention"
CLICKED, READ = "the clicked patch", "what the head reads"
MEANING = {
    PLAIN: "One block, one head: how the query spreads its attention. Each row of attention sums to 1.",
    ROLLOUT: "All blocks together: what reaches the query through attention and residuals (Abnar & Zuidema 2020).",
    GRADIENT: "What of that attention supports the predicted class (Chefer et al. 2021).",
}
MEAN = "mean of the heads"
TILE, GAP = 72, 4  # pixels
SAMPLE = 32  # images whose attention distances are averaged


@st.fragment
def show(loaded: Loaded, picture: Picture) -> None:
    """One image's attention: click a patch, choose block and head, or see all heads at a glance."""
    from vit.evaluation.explain import grid_of
    from vit.evaluation.patch_attention import seen_from

    st.header("Attention")
    classifier = loaded.classifier
    if not classifier.has_attention:
        name = literal(classifier.config["model"]["name"])
        st.info(
            f"model.name is {name}: convolutions look at fixed neighbourhoods, there is no attention to show. "
            "Occlusion works for every model."
        )
        return
    st.markdown("In every block each token asks all others what they hold. **Click a patch: whom does it ask?**")
    maps, grid = _maps(loaded.digest, picture.pixels, classifier), grid_of(classifier)
    left, right = st.columns(2)
    with left:
        side, start = classifier.config["model"]["patch_size"], (grid[0] // 2, grid[1] // 2)
        patch = pick(
            picture.pixels, side, key="attention patch", label=f"Choose a patch of {picture.name}", default=start
        )
    with right:
        kind = st.segmented_control("View", list(MEANING), default=PLAIN, key="attention kind", required=True)
        st.caption(MEANING[kind])
        query = st.segmented_control(
            "Seen from", [CLICKED, READ], default=CLICKED, key="attention query", required=True
        )
        place = patch if query == CLICKED else None
        where = f"row {patch[0] + 1}, column {patch[1] + 1}" if query == CLICKED else _read(classifier)
        matrix, which = _matrix(kind, maps, loaded, picture)
        seen, title = seen_from(matrix, classifier, place), f"{kind} from {where}{which}"
        st.markdown(f"**{literal(title)}**")
        show_map(picture.pixels, seen, title, column="patch")
        if kind == PLAIN and seen.sum() < 0.9995:
            st.caption(f"{1 - seen.sum():.1%} of the attention goes to tokens that are no patches.")
    with left:
        _all_heads(seen_from(maps[:, 0], classifier, place), picture, where)
    _distances(loaded, picture)


def _matrix(kind: str, maps: "Tensor", loaded: Loaded, picture: Picture) -> "tuple[Tensor, str]":
    """The matrix (N, N) of a view, and what to add to its title."""
    from vit.evaluation.looking import batch_of
    from vit.evaluation.patch_attention import relevance_matrix, rollout_matrix

    depth, _, heads, _, _ = maps.shape
    if kind == ROLLOUT:
        return rollout_matrix(maps), ""
    if kind == GRADIENT:
        batch = batch_of(picture.pixels)
        label = int(loaded.classifier.probabilities(batch).argmax())
        return relevance_matrix(loaded.classifier, batch[0], label), f", for {loaded.classifier.classes[label]}"
    first, second = st.columns(2)
    block = first.selectbox("Block", range(1, depth + 1), index=depth - 1, key="attention block")
    head = second.selectbox("Head", [MEAN, *(f"head {one}" for one in range(1, heads + 1))], key="attention head")
    one = maps[block - 1, 0]
    found = one.mean(dim=0) if head == MEAN else one[int(head.removeprefix("head ")) - 1]
    return found, f": block {block}, {head}"


def _read(classifier: "Classifier") -> str:
    names = {"cls": "the class token", "avg": "all patches"}
    return names.get(classifier.config["model"]["pool"], "the pooling query")


@st.cache_resource(max_entries=8, show_spinner="Reading the attention")
def _maps(digest: str, pixels: np.ndarray, _classifier: "Classifier") -> "Tensor":
    from vit.evaluation.looking import batch_of
    from vit.evaluation.patch_attention import head_maps

    return head_maps(_classifier, batch_of(pixels))


def _all_heads(maps: np.ndarray, picture: Picture, where: str) -> None:
    depth, heads = maps.shape[:2]
    st.markdown(f"**All heads at a glance, seen from {where}**: a row per block, first block on top; a column per head")
    tiles = [[over(picture.pixels, maps[block, head], TILE) for head in range(heads)] for block in range(depth)]
    width, height = tiles[0][0].size
    size = (heads * (width + GAP) - GAP, depth * (height + GAP) - GAP)
    sheet = Image.new("RGBA", size, (0, 0, 0, 0))
    for block, row in enumerate(tiles):
        for head, tile in enumerate(row):
            sheet.paste(tile, (head * (width + GAP), block * (height + GAP)))
    st.image(sheet, width=min(sheet.width, 900), alt=f"attention of {depth} blocks with {heads} heads from {where}")


def _distances(loaded: Loaded, picture: Picture) -> None:
    import altair as alt
    import torch

    from vit.evaluation.explain_figures import mean_distances
    from vit.evaluation.looking import batch_of

    images = images_of_test(loaded, SAMPLE)
    sample = "this image" if images is None else f"{len(images)} test images"
    looked_at = batch_of(picture.pixels) if images is None else torch.from_numpy(np.array(images))
    found, uniform = mean_distances(loaded.classifier, looked_at)
    rows = [
        {"block": block + 1, "head": head + 1, "pixels": round(float(pixels), 4)}
        for (block, head), pixels in np.ndenumerate(found)
    ]
    points = alt.Chart(alt.Data(values=rows)).mark_point(filled=True, size=70).encode(
        x=alt.X("block", type="ordinal", axis=alt.Axis(labelAngle=0)),
        y=alt.Y("pixels", type="quantitative", title="mean distance, pixels", scale=alt.Scale(zero=True)),
        tooltip=[alt.Tooltip(name, type="quantitative") for name in ("block", "head", "pixels")],
    )  # fmt: skip
    rule = alt.Chart(alt.Data(values=[{"pixels": uniform}])).mark_rule(strokeDash=[4, 4]).encode(
        y=alt.Y("pixels", type="quantitative")
    )  # fmt: skip
    st.markdown(
        "**From local to global.** A head with a short distance looks at neighbours, as a convolution does; one near "
        "the dashed line looks everywhere alike. Trained ViTs have both kinds in their first blocks, and mostly global "
        "heads in their last."
    )
    title = f"Mean attention distance of each head, over {sample}"
    show_chart((points + rule).properties(height=260), rows, title, f"{title}; even attention has {uniform:.1f} pixels")
