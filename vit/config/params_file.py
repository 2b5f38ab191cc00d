"""A parameter file read and checked, with errors that a person can act on."""

import difflib
from pathlib import Path

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from vit.config.fields import Block
from vit.config.schema import Params
from vit.errors import UserError


def load_params(path: Path = Path("params.yaml")) -> Params:
    """Read and check every block of a parameter file.

    Read as YAML 1.2, as DVC does: PyYAML would take `3e-4` for a string.
    Raises UserError naming the key, the value and what is allowed.
    """
    try:
        values = YAML(typ="safe", pure=True).load(path)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; take one with `cp presets/digits.yaml params.yaml`") from None
    except YAMLError as error:
        raise UserError(f"{path}: not valid YAML: {error}") from error
    if values is None:
        raise UserError(f"{path}: is empty; take one with `cp presets/digits.yaml params.yaml`")
    try:
        return Params.model_validate(values)
    except ValidationError as error:
        problems = sorted(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise UserError(f"{path}: {_sentence(problems[0])}{more}") from error


def _sentence(problem: dict) -> str:
    key = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        nearest = difflib.get_close_matches(key, all_keys(), n=1, cutoff=0)
        return f"unknown key '{key}', nearest is '{nearest[0]}'"
    if problem["type"] == "missing":
        return f"key '{key}' is missing; see presets/ for complete files"
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "value_error":
        return f"{key}: {message}" if key else message
    return f"{key} is {problem['input']!r}: {message[0].lower()}{message[1:]}"


def all_keys(block: type[Block] = Params, prefix: str = "") -> list[str]:
    """Every dotted key that a parameter file must have, e.g. `train.augment.hflip`."""
    keys = []
    for name, field in block.model_fields.items():
        key = prefix + (field.alias or name)
        inner = field.annotation
        is_block = isinstance(inner, type) and issubclass(inner, Block)
        keys += all_keys(inner, key + ".") if is_block else [key]
    return keys


def flatten(values: dict, prefix: str = "") -> dict[str, object]:
    """Nested parameters as `block.key: value`, spelled as on the command line of `dvc exp run -S`."""
    flat: dict[str, object] = {}
    for key, value in values.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat
