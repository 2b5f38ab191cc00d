"""Tables of contents: of the site, in the order in which index.md links to the pages, and of a folder."""

import re
from pathlib import Path

# The folders of the site, in the order of the sidebar.
TITLES = {
    "book": "The book",
    "guides": "Guides",
    "explanation": "Explanation",
    "reference": "Reference",
    "results": "Results",
    "contributing": "Contributing",
}
LINK = re.compile(r"\]\(([\w/-]+)\.md[)#]")


def contents(docs: Path, folder: str = "") -> str:
    """Hidden tables of contents in Markdown: of `folder`, else of every folder of TITLES that has pages."""
    if folder:
        return _toctree("", _pages(docs, folder, []))
    linked = LINK.findall((docs / "index.md").read_text(encoding="utf-8"))
    found = {title: _pages(docs, name, linked) for name, title in TITLES.items()}
    return "\n".join(_toctree(title, pages) for title, pages in found.items() if pages)


def _pages(docs: Path, folder: str, linked: list[str]) -> list[str]:
    pages = sorted(path.relative_to(docs).with_suffix("").as_posix() for path in (docs / folder).glob("*.md"))
    first = [page for page in dict.fromkeys(linked) if page in pages]
    return first + [page for page in pages if page not in first]


def _toctree(title: str, pages: list[str]) -> str:
    options = ":hidden:\n" + (f":caption: {title}\n" if title else "")
    return f"```{{toctree}}\n{options}\n" + "".join(f"/{page}\n" for page in pages) + "```\n"
