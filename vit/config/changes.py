"""Changing a few keys of params.yaml, all others kept."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from vit.config.document import scalar
from vit.config.entries import flat, nested
from vit.config.files import PARAMS
from vit.config.params_file import checked, load_params
from vit.config.presets import completed_text
from vit.config.schema import Params


class Change(NamedTuple):
    """A key whose value changes, both values as they stand in params.yaml."""

    key: str
    before: str
    after: str


def changed(values: Mapping[str, object], path: Path = PARAMS) -> tuple[str, list[Change]]:
    """The text of a parameter file with new `values` by dotted key, and what differs; all other keys keep theirs.

    Comments at the top are kept, those beside the keys come from the schema. Raises UserError if the file or a new
    value is wrong.
    """
    before = flat(load_params(path).model_dump(by_alias=True))
    after = {**before, **values}
    params = checked(Params, nested(after), path).model_dump(by_alias=True)
    differing = [key for key in before if before[key] != after[key]]
    return completed_text(path, params), [Change(key, scalar(before[key]), scalar(after[key])) for key in differing]
