"""Positions: click a place and see how similar its vector is to all others, before and after training."""

import streamlit as st

from studio.components.picture import pick
from studio.inside.drawing import show_heat
from studio.inside.samples import seed_of_training
from studio.models import Loaded, untrained
from studio.picture_choice import Picture
from studio.text import literal

KINDS = {
    "learned": "This model **learns** a vector for each place. It starts as noise; what it learns, it learned from "
    "images alone.",
    "sincos2d": "This model's vectors are **fixed** waves, the same before and after training: rows and columns show "
    "from the start.",
}


@st.fragment
def show(loaded: Loaded, picture: Picture) -> None:
    """Similarity of the chosen place's vector to all others, before and after training."""
    from vit.evaluation.attention import position_similarity
    from vit.evaluation.explain import grid_of, require_attention

    st.header("Positions")
    classifier = loaded.classifier
    if not classifier.has_attention:
        name = literal(classifier.config["model"]["name"])
        st.info(f"model.name is {name}: a convolution knows where it is by its neighbours, so there are no position "
                "embeddings.")  # fmt: skip
        return
    kind = classifier.config["model"]["pos_embed"]
    if kind == "none":
        st.info("model.pos_embed is none: the model adds no position, so it cannot tell where a patch was.")
        return
    st.markdown(
        f"Attention alone knows no order: shuffle the patches, and the result is the same. {KINDS[kind]} "
        "**Click a place: which others are alike?**"
    )
    grid = grid_of(classifier)
    seed = seed_of_training()
    before = position_similarity(require_attention(untrained(loaded, seed).classifier), grid).cpu().numpy()
    after = position_similarity(require_attention(classifier), grid).cpu().numpy()
    columns, lowest = st.columns(3), float(min(before.min(), after.min()))
    with columns[0]:
        row, column = pick(picture.pixels, classifier.config["model"]["patch_size"], key="positions patch",
                           label="Choose a place", default=(grid[0] // 2, grid[1] // 2))  # fmt: skip
    for part, name, similarity in ((columns[1], "Before training", before), (columns[2], "After training", after)):
        with part:
            title = f"{name}, from row {row + 1}, column {column + 1}"
            show_heat(similarity[row, column], title, lowest, 1.0)
    st.caption(
        f"Cosine similarity, 1 for the same direction, 0 for none. Before training: the initial weights of "
        f"train.seed {seed}. Neighbours that became alike are learned from the images (Dosovitskiy et al. 2020, "
        "figure 7)."
    )
