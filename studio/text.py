"""Names and messages as text: Streamlit reads most strings as Markdown."""

import re


def literal(text: str) -> str:
    """`text` with everything escaped that Markdown, HTML, LaTeX, emoji or colour names would take for their own."""
    return re.sub(r"([\\`*_{}\[\]()<>#+!|~$:&-])", r"\\\1", text)
