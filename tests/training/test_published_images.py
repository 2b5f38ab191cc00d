"""Published weights get the images that they were trained on: ours against timm's and torchvision's own transforms."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data import create_transform, resolve_data_config
from torchvision.transforms._presets import ImageClassification
from torchvision.transforms.functional import InterpolationMode

from tests.drawn import draw
from vit.config.pack import PackParams
from vit.data.batches import normalize, to_unit
from vit.data.images import load_image, settings_of
from vit.errors import UserError
from vit.training.published_images import images_of, images_of_torchvision

pytestmark = pytest.mark.long

SIZES = ((60, 107), (107, 60), (33, 33), (75, 50), (40, 900))  # the last is cut before it is resized
IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}


def timm(**known) -> dict:
    return {"config.json": {"architecture": "vit_tiny_patch16_224", "pretrained_cfg": known}}


def ours(path: Path, pack: dict) -> torch.Tensor:
    """The model's input (C, H, W), as serving makes it of a file."""
    checked = PackParams(**pack).model_dump()
    image = load_image(path, **settings_of(checked))
    return normalize(to_unit(torch.from_numpy(image.copy())[None]), checked["mean"], checked["std"])[0]


def largest_gap(folder: Path, size: tuple[int, int], pack: dict, transform) -> float:
    path = draw(folder / "a.png", seed=size[0], height=size[0], width=size[1])
    with Image.open(path) as image:
        theirs = transform(image.convert("RGB"))
    found = ours(path, pack)
    assert found.shape == theirs.shape
    return float((found - theirs).abs().max())


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "known",
    [
        {"input_size": (3, 32, 32), "crop_pct": 0.95, "interpolation": "bicubic", **IMAGENET},
        {"input_size": (3, 32, 32), "crop_pct": 1.0, "interpolation": "bilinear", "mean": [0.5] * 3, "std": [0.5] * 3},
        {"input_size": (3, 36, 36), "crop_pct": 0.9, "interpolation": "lanczos", "crop_mode": "squash", **IMAGENET},
        {"input_size": (3, 28, 28)},  # timm's defaults
    ],
)
def test_pixels_equal_those_of_timms_evaluation(tmp_path, known, size):
    transform = create_transform(**resolve_data_config(pretrained_cfg=known), is_training=False)
    gap = largest_gap(tmp_path, size, images_of(timm(**known), "x"), transform)
    level = 1 / 255 / 0.224
    assert gap < 1e-5 or (size == SIZES[-1] and gap < 2.5 * level)


@pytest.mark.parametrize("size", SIZES[:-1])
def test_pixels_equal_those_of_torchvisions_transforms(tmp_path, size):
    transform = ImageClassification(crop_size=28, resize_size=32, interpolation=InterpolationMode.BILINEAR)
    assert largest_gap(tmp_path, size, images_of_torchvision(transform, "x"), transform) < 1e-5


VIT = {"image_processor_type": "ViTImageProcessor", "size": {"height": 32, "width": 48}, "resample": 2, **HALF}
CLIP = {"feature_extractor_type": "CLIPFeatureExtractor", "size": 32, "resample": 3, "do_center_crop": True}
CLIP |= {"crop_size": 28, **HALF}
DINOV2 = {"image_processor_type": "BitImageProcessor", "size": {"shortest_edge": 256}, "resample": 3}
DINOV2 |= {"do_center_crop": True, "crop_size": {"height": 224, "width": 224}, **HALF}
DEIT = {"feature_extractor_type": "DeiTFeatureExtractor", "size": 256, "resample": 3, "do_center_crop": True}
DEIT |= {"crop_size": 224, **HALF}


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (VIT, {"fit": "stretch", "image_size": [32, 48], "crop_pct": 1.0, "interpolation": "bilinear"}),
        (CLIP, {"fit": "center", "image_size": [28, 28], "crop_pct": 0.875, "interpolation": "bicubic"}),
        (DINOV2, {"fit": "center", "image_size": [224, 224], "crop_pct": 0.875, "interpolation": "bicubic"}),
        (DEIT, {"fit": "stretch", "image_size": [224, 224], "crop_pct": 0.875, "interpolation": "bicubic"}),
        (VIT | {"do_normalize": False}, {"mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0]}),
    ],
    ids=["ViT", "CLIP", "DINOv2", "DeiT", "not normalized"],
)
def test_the_processors_of_transformers_become_parameters(known, expected):
    pack = images_of({"config.json": {"model_type": "vit"}, "preprocessor_config.json": known}, "x")
    assert pack.items() >= expected.items()
    PackParams(**pack)


@pytest.mark.parametrize("resized", range(224, 300))
def test_every_size_before_the_crop_is_reached(resized):
    known = CLIP | {"size": resized, "crop_size": 224}
    pack = images_of({"config.json": {"model_type": "clip"}, "preprocessor_config.json": known}, "x")
    assert np.floor(224 / pack["crop_pct"]) == resized


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (timm(crop_mode="border"), "its crop_mode 'border' is none of center, squash"),
        (timm(interpolation="random"), "its interpolation is none of nearest, lanczos, bilinear, bicubic"),
        (
            {"preprocessor_config.json": VIT | {"rescale_factor": 1 / 127.5}},
            "its rescale_factor 0.0078",
        ),
        ({"preprocessor_config.json": VIT | {"resample": 5}}, "its interpolation is none of"),
    ],
)
def test_what_our_preprocessing_cannot_do_is_refused(settings, message):
    with pytest.raises(UserError, match=f"^x: {message}"):
        images_of(settings, "x")


def test_without_a_word_about_images_nothing_is_assumed():
    assert images_of({"config.json": {"model_type": "vit"}}, "x") is None
