"""A command that does what a page does, ready to copy."""

import shlex
from collections.abc import Sequence

import streamlit as st


def show_command(arguments: Sequence[str]) -> None:
    """Show the command line, quoted for a shell, with a button that copies it."""
    st.code(shlex.join(arguments), language=None, wrap_lines=True)  # coloured words have too little contrast
