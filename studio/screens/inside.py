"""Page Look inside: a model from its patches to its logits."""

import streamlit as st

from studio.inside import attention, embeddings, filters, occlusion, patchify, positions, steps
from studio.models import choose_model
from studio.picture_choice import choose_picture

VIEWS = {
    "Patchify": patchify.show,
    "The walk": steps.show,
    "Attention": attention.show,
    "Positions": positions.show,
    "Filters": filters.show,
    "Embeddings": embeddings.show,
    "Occlusion": occlusion.show,
}

st.title("Look inside")
st.markdown("What a model does between the pixels and its prediction, on a picture of your choice.")
left, right = st.columns(2)
with left:
    loaded = choose_model("inside")
with right:
    picture = choose_picture(loaded.classifier.config, "inside") if loaded else None
view = st.segmented_control("View", list(VIEWS), default="Patchify", key="inside view", required=True)
if loaded and picture:
    VIEWS[view](loaded, picture)
