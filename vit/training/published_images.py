"""How published weights want their images: timm's, transformers' and torchvision's settings as keys of section pack."""

import math
from collections.abc import Mapping
from typing import Any

from vit.errors import UserError

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
        return _of_timm(config.get("pretrained_cfg") or config, called)
    return _of_transformers(settings[PROCESSOR], called) if PROCESSOR in settings else None


def _of_timm(known: Mapping[str, Any], called: str) -> dict[str, Any]:
    """As timm's `resolve_data_config`, with its defaults."""
    mode = known.get("crop_mode") or "center"
    if mode not in FITS:
        raise UserError(f"{called}: its crop_mode '{mode}' is none of {', '.join(FITS)}; use other weights")
    channels, *image_size = known.get("input_size", (3, 224, 224))
    return _pack(
        image_size=image_size,
        channels=channels,
        fit=FITS[mode],
        crop_pct=known.get("crop_pct") or 0.875,
        interpolation=known.get("interpolation") or "bicubic",
        mean=known.get("mean") or IMAGENET_MEAN,
        std=known.get("std") or IMAGENET_STD,
        called=called,
    )


def _of_transformers(known: Mapping[str, Any], called: str) -> dict[str, Any]:
    if not math.isclose(known.get("rescale_factor", 1 / 255) * 255, 1, rel_tol=1e-3):
        raise UserError(f"{called}: its rescale_factor {known['rescale_factor']} is not 1/255; use other weights")
    kind = known.get("image_processor_type") or known.get("feature_extractor_type") or ""
    fit, resized = _resizing(known.get("size", 224), kind.startswith(SHORTER_SIDE))
    kept = resized
    if known.get("do_center_crop"):
        crop = known.get("crop_size", 224)
        kept = [crop, crop] if isinstance(crop, int) else [crop["height"], crop["width"]]
    normalized = known.get("do_normalize", True)
    return _pack(
        image_size=kept,
        channels=len(known.get("image_mean") or IMAGENET_MEAN),
        fit=fit,
        crop_pct=_crop_pct(kept, resized),
        interpolation=OF_PILLOW[known.get("resample", 2)] if known.get("resample", 2) < len(OF_PILLOW) else "",
        mean=(known.get("image_mean") or IMAGENET_MEAN) if normalized else [0.0, 0.0, 0.0],
        std=(known.get("image_std") or IMAGENET_STD) if normalized else [1.0, 1.0, 1.0],
        called=called,
    )


def _resizing(size: int | Mapping[str, int], is_shorter_side: bool) -> tuple[str, list[int]]:
    """`pack.fit`, and height and width after resizing."""
    if isinstance(size, int):
        return ("center" if is_shorter_side else "stretch"), [size, size]
    if "shortest_edge" in size:
        return "center", [size["shortest_edge"]] * 2
    return "stretch", [size["height"], size["width"]]


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
    return {**others, "crop_pct": float(crop_pct), "interpolation": interpolation, **normalization}
