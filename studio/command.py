"""A command that does what a page does, ready to copy."""

import shlex
from collections.abc import Sequence

import streamlit as st

from studio.text import literal


def show_command(arguments: Sequence[str]) -> None:
    """Show the command line, quoted for a shell, with a button that copies it."""
    st.code(shlex.join(arguments), language=None, wrap_lines=True)  # coloured words have too little contrast


def show_commands_of(label: str, commands: Sequence[Sequence[str]], key: str) -> None:
    """Behind a button of its own, what the button `label` runs."""
    with st.popover(literal(f"Command: {label[0].lower()}{label[1:]}"), key=f"command {key}"):
        for command in commands:
            show_command(command)
