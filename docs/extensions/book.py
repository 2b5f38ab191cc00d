"""The book's pages, from what `make book` kept of each chapter in learn/outputs: text, code, output, pictures."""

import inspect
import json
import re
from collections.abc import Iterator
from functools import reduce
from importlib import import_module
from itertools import groupby
from pathlib import Path

REFERENCE = re.compile(r"\[\[((?:vit|learn)\.[\w.]+)\]\]")  # in prose: a function or class of vit, or of the book
UP = "../.."  # from docs/book to the root of the repo


def chapter(docs: Path, name: str) -> str:
    """The page of a chapter below its title: cells in order, answers behind a click."""
    record = _outputs(docs, name)
    shown = record["cells"]
    first, _, rest = shown[0]["text"].partition("\n")
    if not first.startswith("# "):
        raise ValueError(f"{name} begins with '{first}' and not with a title")
    shown[0]["text"] = rest
    parts = []
    for is_answer, together in groupby(shown, key=lambda cell: cell["is_answer"]):
        text = "\n\n".join(part for cell in together for part in _cell(cell, record["claims"]))
        parts.append(f"<details>\n<summary>Answer</summary>\n\n{text}\n\n</details>" if is_answer else text)
    return "\n\n".join(parts)


def _cell(cell: dict, of_chapter: list[dict]) -> Iterator[str]:
    if cell["is_prose"]:
        yield REFERENCE.sub(lambda match: link(match[1]), cell["text"])
        return
    yield f"```python\n{cell['text']}\n```"
    printed = cell["printed"]
    made = [one for one in of_chapter if _as_printed(one) in printed]
    for one in made:  # as text that wraps, because a line of output does not
        printed = printed.replace(_as_printed(one), "")
    if printed.strip():
        yield f"```text\n{printed.rstrip()}\n```"
    for picture in cell["pictures"]:
        for theme in ("light", "dark"):
            file = f"{UP}/learn/outputs/{picture['file']}-{theme}.svg"
            yield f"```{{image}} {file}\n:alt: {picture['alt']}\n:class: only-{theme}\n:align: center\n```"
    for one in made:
        yield f"> **Claim.** {one['says']} ({one['source']})."
        yield f"> **Measured.** {one['measured']}: **{one['verdict']}**."


def _as_printed(claim: dict) -> str:
    """What learn/page.py prints of a claim."""
    return f"{claim['source']}: {claim['says']}\nmeasured: {claim['measured']}\n-> {claim['verdict']}\n"


def link(name: str) -> str:
    """A link to the lines of a function, method or class of vit; MyST keeps the lines of a `path:` only."""
    module, rest = _module_of(name)
    thing = reduce(getattr, rest, module)
    lines, first = inspect.getsourcelines(inspect.unwrap(thing))
    path = f"{module.__name__.replace('.', '/')}.py"
    return f"[`{'.'.join(rest)}` in {path}](path:{UP}/{path}#L{first}-L{first + len(lines) - 1})"


def _module_of(name: str) -> tuple:
    """The module that a dotted name begins with, and the rest of the name."""
    parts = name.split(".")
    for count in range(len(parts) - 1, 0, -1):
        try:
            return import_module(".".join(parts[:count])), parts[count:]
        except ModuleNotFoundError as error:
            if error.name is None or not name.startswith(error.name):
                raise
    raise ValueError(f"{name} is in no module")


def chapters(docs: Path) -> str:
    """A table of the chapters, with the processor time that each took."""
    rows = [f"| [{title(docs, name)}]({name}.md) | {_outputs(docs, name)['seconds']} s |" for name in names(docs)]
    return "\n".join(["| chapter | processor time |", "|---|---|", *rows])


def claims(docs: Path) -> str:
    """A table of every claim: who says what, what was measured, the verdict."""
    rows = ["| source | claim | measured here | verdict | chapter |", "|---|---|---|---|---|"]
    for name in names(docs):
        number = title(docs, name).partition(".")[0]
        for one in _outputs(docs, name)["claims"]:
            cells = (one["source"], one["says"], one["measured"], f"**{one['verdict']}**", f"[{number}]({name}.md)")
            rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def names(docs: Path) -> list[str]:
    """The chapters that have a page, in order."""
    return sorted(path.stem for path in (docs / "book").glob("ch*.md"))


def title(docs: Path, name: str) -> str:
    """A chapter's first heading."""
    return _outputs(docs, name)["cells"][0]["text"].partition("\n")[0].removeprefix("# ")


def _outputs(docs: Path, name: str) -> dict:
    return json.loads((docs.parent / "learn" / "outputs" / f"{name}.json").read_text(encoding="utf-8"))
