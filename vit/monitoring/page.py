"""A report as plain data, and the same as Markdown and as HTML. Text that others chose can be no markup in either."""

import base64
import re
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from vit.data.audit.report import STYLE


class Name(str):
    """Text that people chose, such as a class, a path or a message: shown as code."""


@dataclass(frozen=True)
class Section:
    """A heading, paragraphs, a table (its header first) and pictures by caption."""

    title: str
    paragraphs: list[str] = field(default_factory=list)
    table: list[list[str]] = field(default_factory=list)
    pictures: dict[str, Path] = field(default_factory=dict)


def as_markdown(title: str, sections: list[Section]) -> str:
    """As GitHub reads it; pictures are only named, because a comment there cannot hold them."""
    lines = [f"# {_markdown(title)}"]
    for section in sections:
        lines += ["", f"## {_markdown(section.title)}"]
        for paragraph in section.paragraphs:
            lines += ["", _markdown(paragraph)]
        if len(section.table) > 1:
            header, *rows = section.table
            lines += ["", _line(header), _line(["---", *["---:"] * (len(header) - 1)]), *map(_line, rows)]
        for caption in section.pictures:
            lines += ["", f"{caption}: in the HTML report."]
    return "\n".join(lines) + "\n"


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cell if set(cell) <= set('-:') else _markdown(cell) for cell in cells)} |"


def _markdown(text: str) -> str:
    plain = " ".join(text.split())
    if isinstance(text, Name):
        return "`" + plain.replace("`", "'").replace("|", "\\|") + "`" if plain else ""
    return re.sub(r"([\\`*_\[\]<>|#@~])", r"\\\1", plain)


def as_html(title: str, sections: list[Section]) -> str:
    """A page in a single file, pictures included."""
    parts = [
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>',
        f"<h1>{escape(title)}</h1>",
    ]
    for section in sections:
        parts.append(f"<h2>{escape(section.title)}</h2>")
        parts += [f"<p>{_html(paragraph)}</p>" for paragraph in section.paragraphs]
        if len(section.table) > 1:
            header, *rows = section.table
            lines = ["".join(f"<th>{_html(cell)}</th>" for cell in header)]
            lines += ["".join(f"<td>{_html(cell)}</td>" for cell in row) for row in rows]
            parts.append("<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>")
        for caption, path in section.pictures.items():
            data = base64.b64encode(path.read_bytes()).decode()
            parts.append(f'<h3>{escape(caption)}</h3><img alt="{escape(caption)}" src="data:image/png;base64,{data}">')
    return "\n".join([*parts, "</html>\n"])


def _html(text: str) -> str:
    return f"<code>{escape(text)}</code>" if isinstance(text, Name) else escape(text)
