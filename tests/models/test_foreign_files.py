"""Settings and headers that others wrote, with every key and every shape spoilt in turn: one clear line, or a model."""

import copy
import re
from collections.abc import Iterator

import pytest
import timm
import torch

from benchmarks.parity import CASES, Case
from vit.errors import UserError
from vit.files import read_json, write_json
from vit.models.published.foreign import OwnConfig, TimmConfig, TransformersHead, TransformersModel, json_object
from vit.models.published.reading import TensorFile
from vit.models.published.recognize import recognize
from vit.training.published_images import images_of
from vit.training.weight_sources import copy_weights

ABSENT = object()
ODD = (ABSENT, None, [], {}, "x", -1, 0, 1e9, True, [[1]], [None], {"a": None}, "12", float("nan"), 1.5)
SHAPES = ((), (0,), (7, 3), (2, 2, 2, 2))
NAMES = ("vit_base_patch16_clip_quickgelu_224", "CLIPVisionModelWithProjection", "Siglip2VisionModel")
READ = {*TimmConfig.model_fields, *TransformersHead.model_fields, *TransformersModel.model_fields}
IMAGES = {"input_size": [3, 32, 32], "crop_mode": "center", "crop_pct": 0.9, "interpolation": "bicubic"}
IMAGES |= {"mean": [0.5] * 3, "std": [0.5] * 3}
PROCESSOR = {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 64}, "do_center_crop": True}
PROCESSOR |= {"crop_size": {"height": 64, "width": 64}, "rescale_factor": 1 / 255, "resample": 3, "do_normalize": True}
PROCESSOR |= {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}


def spoilt(whole: dict, odd_values: tuple = ODD) -> Iterator[dict]:
    """Copies of `whole` in each of which one key, at any depth, is gone or has an odd value."""

    def places(value: object, at: tuple = ()) -> Iterator[tuple]:
        if isinstance(value, dict):
            for key in value:
                yield (*at, key)
                yield from places(value[key], (*at, key))

    for *above, last in places(whole):
        for odd in odd_values:
            changed = copy.deepcopy(whole)
            inner = changed
            for key in above:
                inner = inner[key]
            if odd is ABSENT:
                del inner[last]
            else:
                inner[last] = odd
            yield changed


def refused(function, *arguments) -> bool:
    """Whether it is refused in one line; any other exception fails the test."""
    said = None
    try:
        function(*arguments, "theirs")
    except UserError as error:
        said = str(error)
    assert said is None or (said.startswith("theirs") and "\n" not in said and len(said) < 400)
    return said is not None


@pytest.mark.parametrize("case", [case for case in CASES if case.name in NAMES], ids=lambda case: case.name)
def test_every_spoilt_setting_and_shape_of_a_model_is_refused_in_one_line_or_of_no_consequence(tmp_path, case: Case):
    case.write(case, tmp_path)
    shapes, written = TensorFile(tmp_path / "model.safetensors").shapes, read_json(tmp_path / "config.json")
    config = {key: value for key, value in written.items() if key in READ}
    assert not refused(recognize, shapes, config)
    settings = [refused(recognize, shapes, changed) for changed in spoilt(config, ODD[::2])]
    assert 10 < sum(settings) < len(settings)
    if case.name == NAMES[1]:
        both = {"model_type": "clip", "vision_config": config}
        assert not refused(recognize, shapes, both)
        assert any(refused(recognize, shapes, both | {"vision_config": odd}) for odd in ODD[1:])
    one_block = {name: shape for name, shape in shapes.items() if not re.search(r"\.1\.", name)}
    changed = [one_block | {name: shape} for name in one_block for shape in SHAPES]
    changed += [{name: shape for name, shape in shapes.items() if name != left_out} for left_out in one_block]
    assert sum(refused(recognize, one, config) for one in changed) > len(changed) // 2


@pytest.mark.parametrize(
    ("file", "whole"),
    [
        ("config.json", {"architecture": "vit", **IMAGES}),
        ("config.json", {"architecture": "vit", "pretrained_cfg": IMAGES}),
        ("preprocessor_config.json", PROCESSOR),
        ("preprocessor_config.json", PROCESSOR | {"size": {"height": 64, "width": 64}, "do_center_crop": False}),
    ],
    ids=["timm, early", "timm", "CLIP", "ViT"],
)
def test_every_spoilt_setting_of_the_images_is_refused_in_one_line_or_of_no_consequence(file, whole):
    assert not refused(images_of, {file: whole})
    found = [refused(images_of, {file: changed}) for changed in spoilt(whole)]
    assert 10 < sum(found) < len(found)


def test_null_is_what_an_absent_key_is():
    model = timm.create_model("vit_tiny_patch16_224", img_size=32, embed_dim=24, depth=1, num_heads=3)
    shapes = {name: tuple(weight.shape) for name, weight in model.state_dict().items()}
    config = {"architecture": "vit_tiny_patch16_224", "model_args": {"num_heads": 3}}
    empty = {"pretrained_cfg": None, "label_names": None, "model_args": {"num_heads": 3, "act_layer": None}}
    assert recognize(shapes, config | empty) == recognize(shapes, config)
    assert images_of({"config.json": config | empty}, "x") == images_of({"config.json": config}, "x")


def test_the_message_names_key_value_and_file():
    with pytest.raises(UserError, match=r"^x: pretrained_cfg.input_size of its config.json is 224: Input should be a "):
        recognize({"pos_embed": (1,)}, {"architecture": "vit", "pretrained_cfg": {"input_size": 224}}, "x")


@pytest.mark.parametrize("text", ["<html>", "[1]", "null", "\xff\xfe", "[" * 100_000], ids=range(5))
def test_a_file_that_is_not_a_json_object_is_refused(tmp_path, text):
    (tmp_path / "config.json").write_text(text, encoding="latin-1")
    with pytest.raises(UserError, match=r"^x: config.json is not a JSON object; download it again$"):
        json_object(tmp_path / "config.json", "x")


def test_a_spoilt_config_of_this_project_is_refused_before_training(tmp_path):
    import safetensors.torch

    safetensors.torch.save_file({"head.weight": torch.ones(1)}, tmp_path / "model.safetensors")
    config = {"image_size": [8, 8], "channels": 1, "classes": ["a"], "model": {"patch_size": 2, "embed_dim": 4}}
    for changed in spoilt(config, ODD[::3]):
        write_json(tmp_path / "config.json", changed)
        (tmp_path / "out").mkdir(exist_ok=True)
        refused(copy_weights, tmp_path / "model.safetensors", tmp_path / "out")
    with pytest.raises(UserError, match=r"^x: model.patch_size of its config.json is 0: "):
        OwnConfig.read(config | {"model": {"patch_size": 0}}, "x", "config.json")
