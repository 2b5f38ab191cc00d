"""Fonts for class names in any script: matplotlib's own DejaVu Sans lacks Chinese, for example."""

import logging
import warnings
from functools import cache

from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text

log = logging.getLogger("vit")

DEFAULT = "DejaVu Sans"


def use_fonts_that_show(figure: Figure) -> None:
    """Let the texts in `figure` fall back to installed fonts for characters that the default font lacks.

    Warns once for each set of characters that no installed font has.
    """
    texts = figure.findobj(Text)
    lacking = {character for text in texts for character in text.get_text() if character.isprintable()} - _default()
    if not lacking:
        return
    families, without = _fallbacks(frozenset(lacking))
    for text in texts:
        text.set_fontfamily([DEFAULT, *families])
    if without:
        warnings.filterwarnings("ignore", r"Glyph \d+", UserWarning)  # matplotlib's, for each text and character
        _warn_once("".join(sorted(without)))


@cache
def _default() -> frozenset[str]:
    return _characters(font_manager.findfont(DEFAULT))


@cache
def _fallbacks(lacking: frozenset[str]) -> tuple[list[str], set[str]]:
    """Families of installed fonts that together cover most of these characters, and the uncovered rest."""
    families, rest = [], set(lacking)
    for path in sorted(font_manager.findSystemFonts()):  # not the manager's list, which is older than a new font
        if rest & _characters(path):
            rest -= _characters(path)
            font_manager.fontManager.addfont(path)
            families.append(font_manager.get_font(path).family_name)
        if not rest:
            break
    return families, rest


@cache
def _characters(path: str) -> frozenset[str]:
    try:
        font = FT2Font(path)
        font.set_size(12, 72)
        return frozenset(map(chr, font.get_charmap()))
    except (OSError, RuntimeError):  # a font that matplotlib cannot draw with, such as one of coloured bitmaps
        return frozenset()


@cache
def _warn_once(characters: str) -> None:
    shown = characters if len(characters) <= 20 else f"{characters[:20]}..."
    log.warning(
        f"no installed font has the characters {shown}, so figures show boxes for them; install one that does, "
        "for example Debian's fonts-noto-core or fonts-noto-cjk, and run `dvc repro --force evaluate`"
    )
