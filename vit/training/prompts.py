"""Class names as people would say them, in templates: the texts that a text tower embeds."""

import html
import unicodedata
from collections import defaultdict

from vit.errors import UserError

SLOT = "{}"


def prompts(classes: list[str], templates: list[str], called: str) -> list[list[str]]:
    """For each class one text per template.

    Raises UserError beginning with `called` if two classes read the same or a class has no letters and digits at all.
    """
    said = {name: readable(name) for name in classes}
    alike: dict[str, list[str]] = defaultdict(list)
    for name, text in said.items():
        alike[text.casefold()].append(name)
    if same := [names for names in alike.values() if len(names) > 1]:
        raise UserError(f"{called}: classes {', '.join(map(repr, same[0]))} are the same words; rename one of them")
    if mute := [name for name, text in said.items() if not any(map(str.isalnum, text))]:
        raise UserError(f"{called}: class '{mute[0]}' has no letter or digit, so no text describes it; rename it")
    return [[template.replace(SLOT, said[name]) for template in templates] for name in classes]


def readable(name: str) -> str:
    """A class name as text: `black_cat`, `black+cat` and `black&nbsp;cat` are `black cat`; in Unicode's NFKC."""
    text = unicodedata.normalize("NFKC", html.unescape(name))
    return " ".join(text.replace("_", " ").replace("+", " ").split())
