"""Filters: what the first layer reads from the pixels, before and after training."""

import streamlit as st

from studio.inside.drawing import numbers_of
from studio.inside.samples import seed_of_training
from studio.models import Loaded, untrained
from studio.picture_choice import Picture

MOST, COLUMNS, TILE = 28, 7, 40


@st.fragment
def show(loaded: Loaded, picture: Picture) -> None:
    """The first layer's filters, before and after training."""
    from vit.evaluation.filters import first_filters, similarity_to_start

    st.header("Filters")
    start = untrained(loaded, seed_of_training()).classifier
    st.markdown(
        "The first layer compares the pixels with a set of small templates. Grey is zero. **Before training they are "
        "noise; edges, blobs and colours are what a model found worth telling apart.**"
    )
    left, right = st.columns(2)
    for column, name, classifier in ((left, "Before training", start), (right, "After training", loaded.classifier)):
        with column:
            _sheet(first_filters(classifier.model)[:MOST], name)
    alike = similarity_to_start(loaded.classifier.model, start.model)
    st.caption(f"Cosine of all first-layer weights with their start: {alike:.3f}. Near 1, training hardly moved them.")
    if loaded.classifier.has_attention:
        _components(loaded)


def _sheet(filters, name: str) -> None:
    from vit.evaluation.filters import sheet

    pixels = sheet(filters, TILE, COLUMNS)
    shown = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
    st.image(shown, width="stretch", caption=f"{name}: the first {len(filters)}, largest first",
             alt=f"{len(filters)} filters {name.lower()}")  # fmt: skip
    numbers_of(filters[0, 0], f"{name}: the largest filter, first channel")


def _components(loaded: Loaded) -> None:
    from vit.evaluation.attention import filter_components
    from vit.evaluation.explain import require_attention

    components, shares = filter_components(require_attention(loaded.classifier))
    few = components[:MOST].cpu().numpy()
    st.markdown(
        f"**Principal components** of all filters: the first {min(5, len(shares))} hold "
        f"{float(shares[:5].sum()):.0%} of their variance. If these are smooth, the model reads coarse structure first."
    )
    _sheet(few, "Principal components")
