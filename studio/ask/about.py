"""What the model is: its settings, its architecture and its card."""

import streamlit as st

from vit.inference.classifier import Classifier
from vit.inference.summary import model_summary


def show_about(classifier: Classifier, model: str, card: str | None) -> None:
    """Three folded sections about a model; `model` is a key that changes with its content."""
    with st.expander("Architecture"):
        st.code(_summary(model, classifier.config), language=None)
    with st.expander("Settings (config.json)"):
        st.json(classifier.config, expanded=1)
    with st.expander("Model card"):
        if card:
            st.code(card, language=None, wrap_lines=True)
        else:
            st.caption("Only registered versions have a card; `dvc repro` publishes the model as a version.")


@st.cache_data(max_entries=8, show_spinner="Counting the model's operations")
def _summary(model: str, _config: dict) -> str:
    return model_summary(_config)
