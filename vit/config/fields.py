"""What the blocks of params.yaml are made of: strict, frozen, no key too many, numbers with a range."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, PlainValidator
from pydantic_core import PydanticCustomError

Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(ge=0, lt=1)]
NonNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Named = Annotated[str, Field(min_length=1)]
Device = Annotated[str, Field(pattern=r"^(auto|cpu|(cuda|mps|xpu)(:\d+)?)$")]


def _count_or_auto(value: object) -> int | str:
    if value == "auto" or (type(value) is int and value >= 1):
        return value
    raise PydanticCustomError("count_or_auto", "should be auto or a whole number from 1 on")


CountOrAuto = Annotated[int | str, PlainValidator(_count_or_auto)]


class Block(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)
