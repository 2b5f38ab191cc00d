"""The documentation site: Sphinx over Markdown, with pages that the code writes. `make docs` builds it."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

from vit.release import VERSION  # noqa: E402

project = "Vision Transformer pipeline"
author = "The authors of the pipeline"
release = version = VERSION

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "extensions.generated",
    "extensions.mathml",
    "extensions.sources",
]
exclude_patterns = ["_build", "extensions"]

# Markdown as GitHub shows it, and definition lists for the generated pages.
myst_enable_extensions = ["deflist", "dollarmath"]
myst_heading_anchors = 4
suppress_warnings = ["myst.header"]  # a page may begin below a generated heading

# Docstrings use `one backtick` for code, as Markdown does.
default_role = "code"
add_module_names = False
autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_inherit_docstrings = False
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
toc_object_entries = False  # hundreds of them, copied into the sidebar of every page
# No inventory of another project is fetched, so only names of our own can be checked.
nitpicky = True
# Nor can what autodoc leaves out: what begins with an underscore, and type variables.
nitpick_ignore_regex = [
    ("py:.*", r"(?!vit\.).*"),
    ("py:class", r"vit\..*\.(_\w+|[A-Z_]+|Item|Result|Value)"),
]

html_theme = "furo"
html_math_renderer = "mathml"
html_title = f"{project} {version}"
html_show_copyright = False
html_show_sourcelink = False
html_copy_source = False
