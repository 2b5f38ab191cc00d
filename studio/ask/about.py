"""What a model is: its settings, its architecture, its card, and the images that it was trained on."""

import streamlit as st

from studio.models import Loaded
from vit.errors import UserError
from vit.inference.classifier import Classifier
from vit.inference.summary import model_summary

REGISTERED = "models:/"


def show_about(loaded: Loaded) -> None:
    """Three folded sections about a model."""
    st.header("The model")
    with st.expander("Architecture"):
        st.code(_summary(loaded.digest, loaded.classifier), language=None)
    with st.expander("Settings (config.json)"):
        st.json(loaded.classifier.config, expanded=1)
    with st.expander("Model card"):
        if card := _card(loaded.source):
            st.code(card, language=None, wrap_lines=True)
        else:
            st.caption("Only registered versions have a card; `dvc repro` publishes the model as a version.")


def trained_on(loaded: Loaded) -> frozenset[str]:
    """The digests of the train images of a registered version; empty if they are not known."""
    return _trained_on(loaded.source) if loaded.source.startswith(REGISTERED) else frozenset()


@st.cache_data(max_entries=8, show_spinner="Counting the model's operations")
def _summary(digest: str, _classifier: Classifier) -> str:
    return model_summary(_classifier.config)


@st.cache_data(ttl=60, max_entries=8, show_spinner=False)
def _card(source: str) -> str:
    from vit.registry.versions import find_version, registry, split_uri

    if not source.startswith(REGISTERED):
        return ""
    name, _, number = split_uri(source)
    with registry() as client:
        return find_version(client, name, number).description or ""


@st.cache_data(max_entries=8, show_spinner=False)
def _trained_on(source: str) -> frozenset[str]:
    from vit.registry.lookup import images_of

    try:
        return frozenset(row["file_sha256"] for row in images_of(source) if row["part"] == "train")
    except UserError:  # a version of an early release has no such table
        return frozenset()
