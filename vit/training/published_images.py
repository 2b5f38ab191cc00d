"""How published weights want their images: timm's, transformers' and torchvision's settings as keys of section pack."""

import math
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from vit.config.pack import PackParams
from vit.errors import UserError
from vit.models.published.foreign import TimmImages, TransformersImages

SETTINGS, PROCESSOR = "config.json", "preprocessor_config.json"  # of a repository; timm has only the first
IMAGENET_MEAN, IMAGENET_STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
OF_PILLOW = ("nearest", "lanczos", "bilinear", "bicubic")  # by Pillow's numbers, which transformers writes
FITS = {"center": "center", "squash": "stretch"}  # timm's crop_mode
# Image processors of transformers for which a single number is the shorter side; for others it is both.
SHORTER_SIDE = ("CLIP", "Bit", "Chinese", "ConvNext")


def images_of(settings: Mapping[str, Mapping[str, Any]], called: str) -> dict[str, Any] | None:
    """The keys of section pack from a repository's settings files by name; None if they do not say.

    Raises UserError beginning with `called` for what this project's preprocessing cannot do.
    """
    config = settings.get(SETTINGS, {})
    if "architecture" in config:
        return _of_timm(TimmImages.read(config.get("pretrained_cfg") or config, called, SETTINGS), called)
    if PROCESSOR not in settings:
        return None
    return _of_transformers(TransformersImages.read(settings[PROCESSOR], called, PROCESSOR), called)


def _of_timm(known: TimmImages, called: str) -> dict[str, Any]:
    """As timm's `resolve_data_config`, with its defaults."""
    if known.crop_mode not in FITS:
        raise UserError(f"{called}: its crop_mode '{known.crop_mode}' is none of {', '.join(FITS)}; use other weights")
    channels, *image_size = known.input_size
    return _pack(
        image_size=image_size,
        channels=channels,
        fit=FITS[known.crop_mode],
        crop_pct=known.crop_pct,
        interpolation=known.interpolation,
        mean=known.mean or IMAGENET_MEAN,
        std=known.std or IMAGENET_STD,
        called=called,
    )


def _of_transformers(known: TransformersImages, called: str) -> dict[str, Any]:
    if not math.isclose(known.rescale_factor * 255, 1, rel_tol=1e-3):
        raise UserError(f"{called}: its rescale_factor {known.rescale_factor} is not 1/255; use other weights")
    kind = known.image_processor_type or known.feature_extractor_type
    fit, resized = _resizing(known.size, kind.startswith(SHORTER_SIDE), called)
    kept = resized
    if known.do_center_crop:
        crop = known.crop_size
        kept = [crop, crop] if isinstance(crop, int) else _sides(crop, "crop_size", called)
    mean = known.image_mean or IMAGENET_MEAN
    return _pack(
        image_size=kept,
        channels=len(mean),
        fit=fit,
        crop_pct=_crop_pct(kept, resized),
        interpolation=OF_PILLOW[known.resample] if known.resample < len(OF_PILLOW) else "",
        mean=mean if known.do_normalize else [0.0] * len(mean),
        std=(known.image_std or IMAGENET_STD) if known.do_normalize else [1.0] * len(mean),
        called=called,
    )


def _resizing(size: int | Mapping[str, int], is_shorter_side: bool, called: str) -> tuple[str, list[int]]:
    """`pack.fit`, and height and width after resizing."""
    if isinstance(size, int):
        return ("center" if is_shorter_side else "stretch"), [size, size]
    if "shortest_edge" in size:
        return "center", [size["shortest_edge"]] * 2
    return "stretch", _sides(size, "size", called)


def _sides(size: Mapping[str, int], key: str, called: str) -> list[int]:
    if not size.keys() >= {"height", "width"}:
        raise UserError(f"{called}: {key} of its {PROCESSOR} has no height and width; use other weights")
    return [size["height"], size["width"]]


def images_of_torchvision(transforms: Any, called: str) -> dict[str, Any]:
    """The keys of section pack from torchvision's `ImageClassification`."""
    (crop,), (resized,) = transforms.crop_size, transforms.resize_size
    return _pack(
        image_size=[crop, crop],
        channels=len(transforms.mean),
        fit="center",
        crop_pct=_crop_pct([crop], [resized]),
        interpolation=transforms.interpolation.value,
        mean=transforms.mean,
        std=transforms.std,
        called=called,
    )


def _crop_pct(kept: list[int], resized: list[int]) -> float:
    """The share by which `vit.data.resizing` comes to `resized` pixels of which `kept` remain."""
    share = round(kept[0] / resized[0], 6)
    return share if math.floor(kept[0] / share) == resized[0] else kept[0] / (resized[0] + 0.5)


def _pack(*, interpolation: str, mean: Any, std: Any, crop_pct: float, called: str, **others: Any) -> dict[str, Any]:
    if interpolation not in OF_PILLOW:
        raise UserError(f"{called}: its interpolation is none of {', '.join(OF_PILLOW)}; use other weights")
    normalization = {name: [float(value) for value in values] for name, values in (("mean", mean), ("std", std))}
    found: dict[str, Any] = {**others, "crop_pct": float(crop_pct), "interpolation": interpolation, **normalization}
    try:
        PackParams(**found)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise UserError(
            f"{called}: its images cannot be made here: pack.{'.'.join(map(str, first['loc']))} {first['input']!r}: "
            f"{first['msg']}; use other weights"
        ) from error
    return found
