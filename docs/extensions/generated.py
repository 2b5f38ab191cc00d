"""Pages that the code writes: a line `<!-- generated: NAME WORDS -->` becomes Markdown, at every build anew.

GitHub, which shows the same files, hides such a line.
"""

import re
from collections.abc import Callable
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

from extensions.book import chapter, chapters, claims
from extensions.commands import commands
from extensions.contents import contents
from extensions.modules import import_all, modules
from extensions.outputs import figures, files
from extensions.sources import page

MARK = re.compile(r"^<!-- generated: (\w+) ?(.*?) -->$", re.M)
GENERATORS: dict[str, Callable[..., str]] = {
    one.__name__: one for one in (chapter, chapters, claims, commands, contents, figures, files, modules, page)
}


def replace_marks(app: Sphinx, page: str, source: list[str]) -> None:
    """Put what each mark names in its place; the name is looked up in GENERATORS."""

    def generated(match: re.Match) -> str:
        name, words = match[1], match[2].split()
        if name not in GENERATORS:
            raise ExtensionError(f"{page}: nothing generates '{name}'; there are {', '.join(sorted(GENERATORS))}")
        return GENERATORS[name](Path(app.srcdir), *words)

    source[0] = MARK.sub(generated, source[0])


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("builder-inited", import_all)
    app.connect("source-read", replace_marks)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
