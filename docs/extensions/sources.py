"""Links out of docs/ to files of the repo, as GitHub follows them: on the site each such file is a page of its own."""

import html
import re
from collections.abc import Iterator
from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

FOLDER = "source"  # of the site
LANGUAGES = {".py": "python", ".yaml": "yaml", ".yml": "yaml", ".json": "json", ".toml": "toml", ".md": "markdown"}
NO_TEXT = {".png", ".svg", ".jpg"}
# What is a page of the site already.
PAGES = {"README.md": "index", "CONTRIBUTING.md": "contributing/contributing", "CHANGELOG.md": "contributing/changelog"}
LINES = re.compile(r"L(\d+)")
LINK = re.compile(r"\]\((?![a-z]+:|#)")


def page(docs: Path, name: str) -> str:
    """A Markdown file of the repo's root as a page two folders below it."""
    return LINK.sub("](../../", (docs.parent / name).read_text(encoding="utf-8"))


def lead_to_pages(app: Sphinx, doctree: nodes.document) -> None:
    """Turn each link to a file of the repo into one to its page; a link to a folder becomes its text alone."""
    root, page = Path(app.srcdir).resolve().parent, app.env.docname
    links = [*doctree.findall(addnodes.download_reference), *doctree.findall(addnodes.pending_xref)]
    for link in links:
        target, _, lines = link["reftarget"].partition("#")
        path = (Path(app.srcdir) / page).parent.joinpath(target).resolve()
        if link.get("refdomain") == "doc":  # a Markdown file, which MyST takes for a page
            path = path.with_name(f"{path.name}.md")
        if not path.is_relative_to(root) or path.is_relative_to(app.srcdir) or path.suffix in NO_TEXT:
            continue
        name = path.relative_to(root).as_posix()
        if path.is_file():
            target = PAGES.get(name) or _source_page(name)
            address = app.builder.get_relative_uri(page, target) + _anchor(lines)
            link.replace_self(nodes.reference("", "", *link.children, internal=True, refuri=address))
            if name not in PAGES:
                linked_sources(app.env).setdefault(page, set()).add(name)
        elif path.is_dir() and path != root:
            link.replace_self(link.children)


def _anchor(lines: str) -> str:
    """The first line of GitHub's `L29-L46`, as source pages name it."""
    number = LINES.match(lines)
    return f"#line-{number[1]}" if number else ""


def linked_sources(env: BuildEnvironment) -> dict[str, set[str]]:
    """The files that each page links to; kept with the environment, as a page that did not change is not read again."""
    if not hasattr(env, "linked_sources"):
        env.linked_sources = {}
    return env.linked_sources


def forget(app: Sphinx, env: BuildEnvironment, page: str) -> None:
    linked_sources(env).pop(page, None)


def source_pages(app: Sphinx) -> Iterator[tuple[str, dict[str, str], str]]:
    """A page per linked file: its name and its text, coloured."""
    for name in sorted(set().union(*linked_sources(app.env).values())):
        text = (Path(app.srcdir).parent / name).read_text(encoding="utf-8")
        language = LANGUAGES.get(Path(name).suffix, "text")
        body = app.builder.highlighter.highlight_block(text, language, linenos="inline", lineanchors="line")
        yield _source_page(name), {"title": name, "body": f"<h1>{html.escape(name)}</h1>\n{body}"}, "page.html"


def _source_page(name: str) -> str:
    return f"{FOLDER}/{name}"


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("doctree-read", lead_to_pages, priority=400)  # before what is to be downloaded is collected
    app.connect("env-purge-doc", forget)
    app.connect("html-collect-pages", source_pages)
    return {"parallel_read_safe": False, "parallel_write_safe": True}
