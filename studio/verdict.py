"""A verdict about what is entered: it hides at once when something is typed, until that has been checked."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

# Streamlit marks what a page has not drawn again yet as stale. While something is typed that the page does not have,
# two hints stand below the field: to press Enter, and the number of characters.
IS_TYPED = "[data-testid=stApp]:has([data-testid=InputInstructions] > :nth-child(2))"
HIDDEN = f".st-key-verdict:has([data-stale=true]), {IS_TYPED} .st-key-verdict"
# It comes back a second later, as a moment passes between what is entered and the page's beginning to check it.
STYLE = f".st-key-verdict {{ transition: visibility 0s 1s }} {HIDDEN} {{ visibility: hidden; transition-delay: 0s }}"


def verdict() -> DeltaGenerator:
    """Where a page says that what is entered is valid; one per page."""
    return st.container(key="verdict")
