"""What a chapter calls to put something on its page: pictures, claims, and how long it trains."""

from collections.abc import Callable
from dataclasses import dataclass, field

import matplotlib
from matplotlib.figure import Figure

WIDTH = 4.6  # [inches] of a picture: on a phone of 390 pixels its 11-point letters are still 12 pixels high
SHARED = {
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "lines.linewidth": 2,
    "savefig.transparent": True,
    "svg.hashsalt": "book",  # the same picture gives the same bytes
}


def _theme(ink: str, faint: str, colours: str) -> dict:
    inked = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
    cycle = matplotlib.cycler(color=colours.split())
    return SHARED | dict.fromkeys(inked, ink) | {"grid.color": faint, "axes.prop_cycle": cycle, "patch.edgecolor": ink}


# Okabe and Ito's colours, which people with any colour vision tell apart; lighter ones on the dark page.
THEMES = {
    "light": _theme("#1f2328", "#d0d7de", "#0072b2 #d55e00 #009e73 #cc79a7 #e69f00 #56b4e9"),
    "dark": _theme("#e6edf3", "#444c56", "#56b4e9 #ff8c42 #2fd6a3 #e79fc9 #f0c000 #9ecbff"),
}
VERDICTS = ("true", "false", "not at this size")


@dataclass(frozen=True)
class Picture:
    """The same drawing in each of THEMES, and what it shows in words, for those who cannot see it."""

    alt: str
    figures: dict[str, Figure]


@dataclass(frozen=True)
class Claim:
    """What a source says, what was measured here, and one of VERDICTS."""

    source: str
    says: str
    measured: str
    verdict: str


@dataclass
class Page:
    """What the chapter that is running has put on its page so far."""

    is_short: bool = False
    pictures: list[Picture] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)


current = Page()  # replaced by learn/run.py; a chapter that is started by itself fills this one


def shortened(whole: int, to: int) -> int:
    """`whole`, as on the page; `to` where the chapter only has to prove that it still runs."""
    return to if current.is_short else whole


def show(draw: Callable[[Figure], None], alt: str, height: float = 3.2) -> Figure:
    """Put what `draw` draws on the page, in light and in dark; returns the light figure, which a notebook shows."""
    figures = {}
    for name, theme in THEMES.items():
        with matplotlib.rc_context(theme):
            figures[name] = Figure(figsize=(WIDTH, height), layout="constrained")
            draw(figures[name])
    current.pictures.append(Picture(alt, figures))
    return figures["light"]


def claim(source: str, says: str, measured: str, holds: bool, at_any_size: bool = True) -> None:
    """Put a claim in the book's table and print it with its verdict.

    `at_any_size` is false for claims about large models or much data: if such a claim does not hold here, the verdict
    is "not at this size".
    """
    verdict = "true" if holds else "false" if at_any_size else "not at this size"
    current.claims.append(Claim(source, says, measured, verdict))
    print(f"{source}: {says}\nmeasured: {measured}\n-> {verdict}")
