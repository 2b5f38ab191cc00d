"""The schema as text: params.yaml with its comments, and the reference page."""

import json
import re
import textwrap
from collections.abc import Iterator, Mapping
from math import isfinite
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo

from vit.config.fields import Section
from vit.config.schema import Params

REFERENCE = Path("docs/reference/parameters.md")
COMMENT_COLUMN, WIDTH = 31, 120
PLAIN = re.compile(r"[A-Za-z_./][\w./:@ +-]*")  # what YAML reads as text without quotes,
NOT_TEXT = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}  # except these
BOUNDS = {Ge: (">=", "ge"), Gt: (">", "gt"), Le: ("<=", "le"), Lt: ("<", "lt")}


def params_yaml(values: Mapping[str, Any], header: str = "") -> str:
    """The text of a whole parameter file: `values` by section and key, each with its comment from the schema.

    `header` becomes the comment at the top, its line breaks kept.
    """
    lines = [f"# {line}".rstrip() for line in header.splitlines()]
    for name, field in Params.model_fields.items():
        key = field.alias or name
        section = section_of(field)
        assert section is not None
        lines += ["", _commented(f"{key}:", (section.__doc__ or "").strip())]
        lines += _lines(section, values[key], indent=2)
    return "\n".join(lines).lstrip("\n") + "\n"


def _lines(section: type[Section], values: Mapping[str, Any], indent: int) -> Iterator[str]:
    for name, field in section.model_fields.items():
        inner, value = section_of(field), values[name]
        if inner is not None:
            yield _commented(f"{' ' * indent}{name}:", (inner.__doc__ or "").strip())
            yield from _lines(inner, value, indent + 2)
        elif isinstance(value, dict) and value:
            yield _commented(f"{' ' * indent}{name}:", comment(field))
            yield from (f"{' ' * (indent + 2)}{scalar(key)}: {scalar(one)}" for key, one in value.items())
        else:
            yield _commented(f"{' ' * indent}{name}: {scalar(value)}", comment(field))


def section_of(field: FieldInfo) -> type[Section] | None:
    """The section that a field holds; None if it holds a value."""
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, Section) else None


def comment(field: FieldInfo) -> str:
    """Unit, choices and meaning of a parameter in one line."""
    meaning = field.description or ""
    found = choices(field.annotation)
    explained = all(re.search(rf"(^|; ){re.escape(str(one))}: ", meaning) for one in found)
    shown = [] if explained else [" | ".join(map(str, found))]
    return f"{unit(field)} {'; '.join(text for text in (*shown, meaning) if text)}".strip()


def unit(field: FieldInfo) -> str:
    """The unit, such as `[pixels]`; empty for a parameter without one."""
    extra = field.json_schema_extra
    return f"[{extra['unit']}]" if isinstance(extra, dict) and "unit" in extra else ""


def choices(kind: Any) -> list[str | int]:
    """The values of a Literal; empty for any other type."""
    return list(get_args(kind)) if get_origin(kind) is Literal else []


def scalar(value: object) -> str:
    """A value as one line of YAML 1.2, with numbers as a person writes them."""
    if isinstance(value, str):
        is_plain = PLAIN.fullmatch(value) and value.lower() not in NOT_TEXT and ": " not in value
        return value if is_plain else json.dumps(value, ensure_ascii=False)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(scalar, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{scalar(key)}: {scalar(one)}' for key, one in value.items())}}}"
    if isinstance(value, float) and not isfinite(value):
        return f"{value}".replace("inf", ".inf").replace("nan", ".nan")
    if isinstance(value, float) and "e" in repr(value):
        return f"{value:.20f}".rstrip("0")
    return "null" if value is None else json.dumps(value)


def _commented(entry: str, text: str) -> str:
    if not text:
        return entry
    column = max(COMMENT_COLUMN, len(entry) + 2)
    lines = textwrap.wrap(text, max(40, WIDTH - column - 2), break_long_words=False, break_on_hyphens=False)
    return f"\n{' ' * column}# ".join([f"{entry.ljust(column)}# {lines[0]}", *lines[1:]])


def reference() -> str:
    """The page REFERENCE: every parameter with its default, type, range, choices, unit and meaning."""
    lines = [
        "# Parameters",
        "",
        "Every key of `params.yaml`. `make deps` generates this page from the schema in `vit/config`. A preset changes",
        "some of the defaults; `params.yaml` always holds every key. Change one with",
        "`dvc exp run -S section.key=value`.",
    ]
    for name, field in Params.model_fields.items():
        section = section_of(field)
        assert section is not None
        lines += ["", f"## {field.alias or name}", "", "| key | default | type | meaning |", "|---|---|---|---|"]
        lines += _rows(section, f"{field.alias or name}.")
    return "\n".join(lines) + "\n"


def _rows(section: type[Section], prefix: str) -> Iterator[str]:
    for name, field in section.model_fields.items():
        inner = section_of(field)
        if inner is not None:
            yield from _rows(inner, f"{prefix}{name}.")
            continue
        meaning = f"{unit(field)} {field.description}".strip()
        cells = (f"`{prefix}{name}`", f"`{scalar(field.get_default())}`", takes(field), meaning)
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def takes(field: FieldInfo) -> str:
    """Type, range and choices of a parameter in words, e.g. `number >= 0, < 1`."""
    return _taken(field.annotation, field.metadata)


def _taken(kind: Any, metadata: list[Any]) -> str:
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _taken(inner[0], [*metadata, *inner[1:]])
    if kind == int | str:
        return "integer >= 1, or `auto`"
    if kind == list[int | float] | str:
        return "[low, high], or `auto`"
    if kind == list[float] | str:
        return "list of numbers, or `auto`"
    if origin in (Union, UnionType):
        return " or ".join("`null`" if one is type(None) else _taken(one, metadata) for one in inner)
    if origin is Literal:
        return " or ".join(f"`{one}`" for one in inner)
    if origin is list:
        return f"list of {_taken(inner[0], [])}"
    if origin is dict:
        return "mapping of names to lists of classes"
    names = {int: "integer", float: "number", bool: "`true` or `false`", str: "text"}
    return f"{names[kind]} {', '.join(_bounds(metadata))}".rstrip()


def _bounds(metadata: list[Any]) -> Iterator[str]:
    for one in metadata:
        for bound in getattr(one, "metadata", [one]):
            if type(bound) in BOUNDS:
                sign, name = BOUNDS[type(bound)]
                yield f"{sign} {getattr(bound, name)}"
