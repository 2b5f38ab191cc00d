"""JSON files that other programs wrote: the keys that are read, with their types. null is the same as absent."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from vit.errors import UserError
from vit.files import read_json

Size = Annotated[int, Field(ge=1, lt=2**15)]  # pixels, heads, channels
Sides = Annotated[list[Size], Field(min_length=2, max_length=2)]  # height, width
PerChannel = Annotated[list[float], Field(min_length=1, max_length=4)]
Positive = Annotated[float, Field(gt=0)]


def json_object(path: Path, called: str) -> dict[str, Any]:
    """The JSON object in a file. Raises UserError beginning with `called` if it holds anything else."""
    try:
        content = read_json(path)
    except (ValueError, RecursionError):  # no JSON, no UTF-8, nested without end
        content = None
    if not isinstance(content, dict):
        raise UserError(f"{called}: {path.name} is not a JSON object; download it again")
    return content


class Foreign(BaseModel):
    """Some other program's JSON object; keys that no field names are ignored, and numbers may be written as text."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False, coerce_numbers_to_str=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        return {key: value for key, value in values.items() if value is not None}

    @classmethod
    def read(cls, values: Any, called: str, file: str) -> Self:
        """The object in `file`. Raises UserError beginning with `called` with the first key that is not usable."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            names = [str(one) for one in first["loc"] if str(one).isidentifier()]  # no branches of a union
            key = ".".join(names) or "the whole"
            value = repr(first["input"])
            shown = value if len(value) <= 60 else f"{value[:57]}..."
            what = "is missing" if first["type"] == "missing" else f"is {shown}: {first['msg']}"
            raise UserError(f"{called}: {key} of its {file} {what}; use other weights") from error


class TimmArguments(Foreign):
    """`model_args`: what the architecture is changed by."""

    num_heads: Size | None = None
    act_layer: str | None = None


class TimmImages(Foreign):
    """`pretrained_cfg`; early files have its keys at the top."""

    input_size: Annotated[list[Size], Field(min_length=3, max_length=3)] = [3, 224, 224]  # channels, height, width
    crop_mode: str = "center"
    crop_pct: Annotated[float, Field(gt=0, le=1)] = 0.875
    interpolation: str = "bicubic"
    mean: PerChannel | None = None
    std: Annotated[list[Positive], Field(min_length=1, max_length=4)] | None = None


class TimmConfig(Foreign):
    """config.json of timm."""

    architecture: str
    model_args: TimmArguments = TimmArguments()
    pretrained_cfg: TimmImages | None = None
    label_names: list[str] = []


class TransformersModel(Foreign):
    """config.json of transformers, or its `vision_config`."""

    hidden_act: str
    layer_norm_eps: Positive
    num_attention_heads: Size
    num_channels: Size = 3
    image_size: Size | Sides | None = None
    num_patches: Annotated[int, Field(ge=1)] | None = None


class TransformersHead(Foreign):
    """What config.json of transformers says around the model itself."""

    model_type: str = "none"
    architectures: list[str] = []
    id2label: dict[int, str] = {}
    vision_config: dict[str, Any] = {}


class TransformersImages(Foreign):
    """preprocessor_config.json of transformers; `resample` is one of Pillow's numbers."""

    image_processor_type: str = ""
    feature_extractor_type: str = ""
    size: Size | dict[str, Size] = 224
    do_center_crop: bool = False
    crop_size: Size | dict[str, Size] = 224
    rescale_factor: Positive = 1 / 255
    resample: Annotated[int, Field(ge=0)] = 2
    do_normalize: bool = True
    image_mean: PerChannel | None = None
    image_std: Annotated[list[Positive], Field(min_length=1, max_length=4)] | None = None


class OwnModel(Foreign):
    """Section model in a config.json of this project, as far as it is computed with."""

    patch_size: Size = 1
    embed_dim: Size = 1
    mlp_ratio: Positive = 1.0


class OwnConfig(Foreign):
    """config.json of this project."""

    image_size: Sides
    channels: Size
    classes: list[str]
    model: OwnModel
