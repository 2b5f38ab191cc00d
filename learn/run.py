"""Run chapters and keep what they print, draw and claim: `python -m learn.run [NAME ...]`, which `make book` calls.

The site shows what this wrote to learn/outputs: chapters train for minutes, and building the site takes seconds.
"""

import argparse
import contextlib
import hashlib
import io
import re
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import ModuleType

import matplotlib
import torch

from learn import page
from learn.cells import Cell, cells
from vit.files import write_json

ROOT = Path(__file__).parent
CHAPTERS, OUTPUTS = ROOT / "chapters", ROOT / "outputs"
VALUE = re.compile(r"\{\{ ?(.+?) ?\}\}")  # in prose: an expression of the chapter, with a format as in an f-string


@dataclass
class Shown:
    """A cell as the page shows it: the prose with its values, or the code with what it printed and drew."""

    text: str
    is_prose: bool
    is_answer: bool
    printed: str = ""
    pictures: list[page.Picture] = field(default_factory=list)


@dataclass
class Finished:
    """A chapter that ran to its end: its cells, its `digest`, its variables, and the seconds of processor time.

    Processor time is that of an idle core, however busy the machine is.
    """

    cells: list[Shown]
    claims: list[page.Claim]
    seconds: float
    digest: str
    variables: dict


def names() -> list[str]:
    """The chapters, in order."""
    return sorted(path.stem for path in CHAPTERS.glob("ch*.py"))


def run(name: str, short: bool = False) -> Finished:
    """Run a chapter; `short` trains only as long as proves that it runs. Raises what the chapter raises."""
    path = CHAPTERS / f"{name}.py"
    source = path.read_text(encoding="utf-8")
    chapter = ModuleType(name)  # chapters define classes, which look up their module
    of_what_runs, began = digest(name), time.process_time()  # the files may change until it ends
    page.current = page.Page(is_short=short)
    torch.manual_seed(0)
    shown = [_run_cell(cell, path, chapter.__dict__) for cell in cells(source)]
    return Finished(shown, page.current.claims, time.process_time() - began, of_what_runs, chapter.__dict__)


def _run_cell(cell: Cell, path: Path, variables: dict) -> Shown:
    if cell.is_prose:
        text = VALUE.sub(lambda match: eval("f'''{" + match[1] + "}'''", variables), cell.text)
        return Shown(text, True, cell.is_answer)
    drawn = len(page.current.pictures)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        # The empty lines give the code the line numbers of the chapter, for tracebacks.
        exec(compile("\n" * (cell.line - 1) + cell.text, path, "exec"), variables)
    return Shown(cell.text, False, cell.is_answer, printed.getvalue(), page.current.pictures[drawn:])


def digest(name: str) -> str:
    """Of the chapter and of the book's own code that it imports: a change calls for another `make book`."""
    text = (CHAPTERS / f"{name}.py").read_text(encoding="utf-8")
    imported = sorted(set(re.findall(r"^from learn\.(\w+) import", text, re.M)) - {"page"})
    texts = [text, *((ROOT / f"{one}.py").read_text(encoding="utf-8") for one in imported)]
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


def save(name: str, finished: Finished) -> None:
    """Write the page to learn/outputs: NAME.json, and an SVG per picture and theme."""
    for old in OUTPUTS.glob(f"{name}-*.svg"):
        old.unlink()
    written = [{**_plain(shown), "pictures": list(_save_pictures(name, shown))} for shown in _numbered(finished.cells)]
    record = {
        "digest": finished.digest,
        "seconds": round(finished.seconds),
        "cells": written,
        "claims": [asdict(claim) for claim in finished.claims],
    }
    write_json(OUTPUTS / f"{name}.json", record)


def _numbered(shown: list[Shown]) -> Iterator[tuple[int, Shown]]:
    """Each cell with the number of its first picture."""
    number = 1
    for one in shown:
        yield number, one
        number += len(one.pictures)


def _plain(numbered: tuple[int, Shown]) -> dict:
    _, shown = numbered
    return {name: getattr(shown, name) for name in ("text", "is_prose", "is_answer", "printed")}


def _save_pictures(name: str, numbered: tuple[int, Shown]) -> Iterator[dict[str, str]]:
    first, shown = numbered
    for number, picture in enumerate(shown.pictures, first):
        for theme, figure in picture.figures.items():
            with matplotlib.rc_context(page.THEMES[theme]):
                figure.savefig(OUTPUTS / f"{name}-{number}-{theme}.svg", metadata={"Date": None})
        yield {"file": f"{name}-{number}", "alt": picture.alt}


def main() -> None:
    parser = argparse.ArgumentParser(description="Run chapters of the book and keep what they show for the site.")
    parser.add_argument("names", nargs="*", choices=[[], *names()], help="chapters; default: all")
    parser.add_argument("--short", action="store_true", help="only prove that they run; nothing is kept")
    asked = parser.parse_args()
    for name in asked.names or names():
        finished = run(name, asked.short)
        if not asked.short:
            save(name, finished)
        verdicts = ", ".join(claim.verdict for claim in finished.claims)
        print(f"{name}: {finished.seconds:.0f} s of processor time; claims: {verdicts}", flush=True)


if __name__ == "__main__":
    main()
