"""A chapter as its cells: Python in the percent format that Jupytext, VS Code and PyCharm open as a notebook."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

# `# %%` starts code, `# %% [markdown]` prose; `answer` before the bracket hides either behind a click.
START = re.compile(r"^# %%(?P<answer> answer)?(?P<prose> \[markdown\])?$", re.M)


@dataclass(frozen=True)
class Cell:
    """Code, or prose in Markdown; `line` is that of its first line in the chapter, from 1."""

    text: str
    line: int
    is_prose: bool
    is_answer: bool


def cells(source: str) -> Iterator[Cell]:
    """The cells of a chapter, in order. Raises ValueError for text before the first, and for code among prose."""
    starts = list(START.finditer(source))
    if not starts or source[: starts[0].start()].strip():
        raise ValueError("a chapter begins with a line `# %% [markdown]`")
    for start, after in zip(starts, [*starts[1:], None], strict=True):
        body = source[start.end() + 1 : after.start() if after else len(source)]
        line = source.count("\n", 0, start.end()) + 2
        is_prose = start["prose"] is not None
        yield Cell(_prose(body, line) if is_prose else body.strip("\n"), line, is_prose, start["answer"] is not None)


def _prose(body: str, first: int) -> str:
    """The Markdown of lines that begin with `# `."""
    lines = body.strip("\n").split("\n")
    for number, line in enumerate(lines, first):
        if line and line != "#" and not line.startswith("# "):
            raise ValueError(f"line {number}: prose must begin with `# `, not '{line}'")
    return "\n".join(line[2:] for line in lines).strip()
