"""Parameters as they are typed: text to values, several values in one field, and what differs from params.yaml."""

import csv
import itertools
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from vit.config.document import section_of
from vit.config.fields import Section
from vit.config.params_file import problems
from vit.config.schema import Params
from vit.errors import UserError

MOST_RUNS = 200  # of a grid
Entries = Mapping[str, Sequence[object]]  # values by dotted key; more than one are a grid


def fields(section: type[Section] = Params, prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every parameter with its dotted key, in the order of params.yaml."""
    for name, field in section.model_fields.items():
        key, inner = prefix + (field.alias or name), section_of(field)
        if inner is None:
            yield key, field
        else:
            yield from fields(inner, f"{key}.")


def typed(key: str, text: str, is_several: bool) -> list[object]:
    """The values that `text` means for a parameter: one, or several between commas.

    Text is itself, everything else is YAML, as in params.yaml; empty is null where that is allowed.
    Raises UserError if it is not readable.
    """
    field = dict(fields())[key]
    if _is_text(field.annotation):
        row = next(csv.reader([text], skipinitialspace=True), [""]) if is_several else [text]
        return [None if one.strip() in ("", "null") and _is_optional(field.annotation) else one for one in row]
    try:
        if is_several:
            return YAML(typ="safe", pure=True).load(f"[{text}]") or [None]
        return [YAML(typ="safe", pure=True).load(text)]
    except (YAMLError, ValueError):
        raise UserError(f"{key}: cannot read {text!r}; write it as in params.yaml") from None


def _is_optional(kind: Any) -> bool:
    return get_origin(kind) in (Union, UnionType) and type(None) in get_args(kind)


def _is_text(kind: Any) -> bool:
    if get_origin(kind) is Annotated:
        return _is_text(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        return all(_is_text(one) for one in get_args(kind) if one is not type(None))
    return kind is str


def runs_of(entries: Entries) -> int:
    """How many combinations there are."""
    return prod(len(values) for values in entries.values())


def combinations(entries: Entries) -> Iterator[dict[str, Any]]:
    """Complete parameters, by section, of every run."""
    for values in itertools.product(*entries.values()):
        yield nested(dict(zip(entries, values, strict=True)))


def nested(flat: Mapping[str, object]) -> dict[str, Any]:
    """Values by dotted key as sections."""
    result: dict[str, Any] = {}
    for key, value in flat.items():
        *sections, last = key.split(".")
        inner = result
        for section in sections:
            inner = inner.setdefault(section, {})
        inner[last] = value
    return result


def flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """Complete parameters by dotted key. Raises KeyError if one is missing."""
    result = {}
    for key, _ in fields():
        value: Any = values
        for part in key.split("."):
            value = value[part]
        result[key] = value
    return result


def entry_problems(entries: Entries) -> dict[str, str]:
    """What is wrong with any of the runs: a sentence by key."""
    if (count := runs_of(entries)) > MOST_RUNS:
        several = [key for key, values in entries.items() if len(values) > 1]
        sentence = f"{count} runs are more than the {MOST_RUNS} of a grid; take out values"
        return dict.fromkeys(several, sentence)
    found: dict[str, str] = {}
    for values in combinations(entries):
        found = problems(values) | found
    return found


def differences(entries: Entries, params: Mapping[str, Any]) -> dict[str, list[object]]:
    """The entries that are not as in `params`, complete parameters: what `dvc exp run -S` has to set.

    Raises UserError for a mapping that would replace another one, because DVC merges the two.
    """
    base = flat(params)
    result = {key: list(values) for key, values in entries.items() if not _same(values, base[key])}
    for key, values in result.items():
        if base[key] and isinstance(base[key], dict) and any(isinstance(one, dict) for one in values):
            raise UserError(f"{key}: `dvc exp run -S` would add to the mapping of params.yaml; change it there")
    return result


def _same(values: Sequence[object], base: object) -> bool:
    return len(values) == 1 and values[0] == base and isinstance(values[0], bool) is isinstance(base, bool)
