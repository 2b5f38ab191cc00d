"""Names and messages as text: Streamlit reads most strings as Markdown."""

import re


def literal(text: str) -> str:
    """`text` with everything escaped that Markdown, HTML, LaTeX, emoji or colour names would take for their own.

    A hyphen within a word means nothing to them, and screen readers hear some labels as they are.
    """
    return re.sub(r"([\\`*_{}\[\]()<>#+!|~$:&]|(?<!\w)-|-(?!\w))", r"\\\1", text)
