"""Reading and checking a parameter file, with errors that a person can act on."""

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from vit.config.document import scalar
from vit.config.fields import Section
from vit.config.files import PARAMS
from vit.config.schema import Params
from vit.errors import UserError

ANY_SECTION = TypeVar("ANY_SECTION", bound=Section)
WRITES_ONE = "`vit preset digits` writes one"
COMPLETES = "`vit preset --complete` adds it with its default"


def load_params(path: Path = PARAMS) -> Params:
    """Read and check every section of a parameter file; no key may be missing.

    Raises UserError naming the key, the value and what is allowed.
    """
    values = read_yaml(path)
    if "about" in values:
        raise UserError(
            f"{path}: is a preset, which holds only differences; `vit preset NAME` writes a complete params.yaml"
        )
    return checked(Params, values, path, missing_keys(values))


def missing_keys(values: Mapping[str, Any]) -> list[str]:
    """The dotted keys that nested `values` lack; none below a value that is not a section, a separate error."""
    return [key for key in all_keys() if not _holds(values, key)]


def _holds(values: object, key: str) -> bool:
    first, _, rest = key.partition(".")
    return not isinstance(values, Mapping) or (first in values and (not rest or _holds(values[first], rest)))


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file, read as YAML 1.2, as DVC does: PyYAML would read `3e-4` as a string.

    Raises UserError if the file does not exist or holds no mapping.
    """
    try:
        values = YAML(typ="safe", pure=True).load(path)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; {WRITES_ONE} in the project's root") from None
    except YAMLError as error:
        raise UserError(f"{path}: not valid YAML: {error}") from error
    if values is None:
        raise UserError(f"{path}: is empty; {WRITES_ONE}")
    if not isinstance(values, dict):
        raise UserError(f"{path}: holds a {type(values).__name__} instead of sections; {WRITES_ONE}")
    return values


def checked(kind: type[ANY_SECTION], values: object, path: Path, missing: Sequence[str] = ()) -> ANY_SECTION:
    """`values` as a section; the `missing` keys count as errors.

    Raises UserError naming the first wrong key and the number of further ones.
    """
    problems: list[Any] = [{"type": "missing", "loc": key.split(".")} for key in missing]
    try:
        section = kind.model_validate(values)
        if not problems:
            return section
    except ValidationError as error:
        found = error.errors()
        unknown = [problem for problem in found if problem["type"] == "extra_forbidden"]
        problems = [*unknown, *problems, *(problem for problem in found if problem not in unknown)]
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    raise UserError(f"{path}: {_sentence(problems[0], kind)}{more}")


def problems(values: object) -> dict[str, str]:
    """What is wrong with complete parameters: a sentence for every dotted key that it concerns; empty if nothing is."""
    try:
        Params.model_validate(values)
    except ValidationError as error:
        found: dict[str, str] = {}
        for problem in error.errors():
            sentence = _sentence(problem, Params)
            for key in _concerned(".".join(map(str, problem["loc"])), sentence):
                found.setdefault(key, sentence)
        return found
    return {}


def _concerned(place: str, sentence: str) -> list[str]:
    """The keys at or above a place, or those below it that the sentence names; without any, the place itself."""
    keys = all_keys()
    at = [key for key in keys if place == key or place.startswith(f"{key}.")]
    below = [key for key in keys if not place or key.startswith(f"{place}.")]
    spelled = {key: key.removeprefix(f"{place}.") for key in below}
    named = [key for key in below if re.search(rf"(?<![\w.]){re.escape(spelled[key])}(?!\w)", sentence)]
    return at or named or [place]


def _sentence(problem: Mapping[str, Any], kind: type[Section]) -> str:
    key = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        nearest = difflib.get_close_matches(key, all_keys(kind), n=1, cutoff=0)
        return f"unknown key '{key}'; did you mean '{nearest[0]}'?"
    if problem["type"] == "missing":
        return f"key '{key}' is missing; {COMPLETES if kind is Params else 'add it'}"
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "value_error":
        return f"{key}: {message}" if key else message
    field = _field(kind, [str(part) for part in problem["loc"]])
    meaning = f" ({key.partition('.')[2] or key}: {field.description})" if field and field.description else ""
    return f"{key} is {_spelled(problem['input'])}: {message[0].lower()}{message[1:]}{meaning}"


def _spelled(value: object) -> str:
    """A value as params.yaml has it, but text in quotes, so that its ends show."""
    return scalar(value) if value is None or isinstance(value, bool | float) else repr(value)


def _field(kind: type[Section], keys: list[str]) -> FieldInfo | None:
    """The field at a path of keys, or the field whose list or mapping the path leads into."""
    fields = {field.alias or name: field for name, field in kind.model_fields.items()}
    field = fields.get(keys[0])
    inner = field.annotation if field else None
    if len(keys) > 1 and isinstance(inner, type) and issubclass(inner, Section):
        return _field(inner, keys[1:])
    return field


def all_keys(section: type[Section] = Params, prefix: str = "") -> list[str]:
    """Every dotted key that a parameter file must have, e.g. `train.augment.hflip`."""
    keys = []
    for name, field in section.model_fields.items():
        key = prefix + (field.alias or name)
        inner = field.annotation
        is_section = isinstance(inner, type) and issubclass(inner, Section)
        keys += all_keys(inner, key + ".") if is_section else [key]
    return keys


def flatten(values: dict, prefix: str = "") -> dict[str, object]:
    """Nested parameters as `section.key: value`, spelled as on the command line of `dvc exp run -S`."""
    flat: dict[str, object] = {}
    for key, value in values.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat
