"""Building blocks of the sections of params.yaml: strict, frozen, no unknown keys, each key documented once."""

from math import isfinite
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainValidator
from pydantic.config import JsonDict
from pydantic_core import PydanticCustomError

Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(ge=0, lt=1)]
Share = Annotated[float, Field(gt=0, le=1)]
NonNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
ChoosingMetric = Literal["accuracy", "balanced_accuracy", "macro_f1", "log_loss"]
Named = Annotated[str, Field(min_length=1)]
Device = Annotated[str, Field(pattern=r"^(auto|cpu|(cuda|mps|xpu)(:\d+)?)$")]


def _count_or_auto(value: object) -> int | str:
    if value == "auto" or (type(value) is int and value >= 1):
        return value
    raise PydanticCustomError("count_or_auto", "should be auto or an integer >= 1")


CountOrAuto = Annotated[int | str, PlainValidator(_count_or_auto)]


def _layers_or_all(value: object) -> int | str:
    if value == "all" or (type(value) is int and value >= 0):
        return value
    raise PydanticCustomError("layers_or_all", "should be all or an integer >= 0")


LayersOrAll = Annotated[Annotated[int, Field(ge=0)] | Literal["all"], PlainValidator(_layers_or_all)]


def _range_or_auto(value: object) -> list[int | float] | str:
    if value == "auto":
        return "auto"
    if isinstance(value, list) and len(value) == 2 and all(map(_is_number, value)) and value[0] < value[1]:
        return value
    raise PydanticCustomError("range_or_auto", "should be auto or two numbers [low, high], the lower one first")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


RangeOrAuto = Annotated[list[int | float] | str, PlainValidator(_range_or_auto)]


def _per_channel_or_auto(value: object) -> list[float] | str:
    if value == "auto":
        return "auto"
    if isinstance(value, list) and value and all(_is_number(one) and 0 <= one <= 1 for one in value):
        return value
    raise PydanticCustomError("per_channel_or_auto", "should be auto or a list of numbers in [0, 1]")


PerChannelOrAuto = Annotated[list[float] | str, PlainValidator(_per_channel_or_auto)]


class Section(BaseModel):
    """A section of params.yaml; its docstring is the comment beside its name there."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def parameter(default: object, meaning: str, unit: str = "") -> Any:
    """A key of a section: its default, its meaning and its unit.

    Comments in params.yaml, docs/reference/parameters.md and errors are generated from it. Range and choices come from
    the annotation. A key that is added later needs a default that keeps the behaviour of earlier releases, because
    their stored models lack it.
    """
    extra: JsonDict | None = {"unit": unit} if unit else None
    return Field(default=default, description=meaning, json_schema_extra=extra)
