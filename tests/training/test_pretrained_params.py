"""The params.yaml for published weights: what changes, and what stays."""

import pytest

from tests.presets import REPO
from vit.config.model import ModelParams
from vit.config.params_file import load_params
from vit.config.presets import load_preset
from vit.errors import UserError
from vit.training.pretrained_params import RECIPE, Pretrained

NAME = f"hf-hub:timm/vit_small_patch14_dinov2.lvd142m@{'0' * 40}"
PACK = {"image_size": [28, 42], "channels": 3, "fit": "center", "crop_pct": 0.875, "interpolation": "bilinear"}
PACK |= {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
MODEL = {"patch_size": 14, "embed_dim": 384, "depth": 12, "num_heads": 6, "init_values": 1e-5}
VIT = Pretrained(NAME, "apache-2.0", PACK, MODEL)


@pytest.fixture(scope="module")
def digits():
    return load_preset("digits", REPO / "presets")


def test_geometry_images_and_recipe_change_and_the_rest_stays(digits):
    before = digits.params.model_dump(by_alias=True)
    after = VIT.params(before, digits.differences).model_dump(by_alias=True)
    for section in ("data", "split", "evaluate", "register"):
        assert after[section] == before[section]
    assert after["train"] == before["train"] | RECIPE | {"init_from": NAME}
    assert after["pack"] == before["pack"] | PACK | {"margin": 0.0}
    assert after["model"] == ModelParams(**MODEL, drop_path_rate=0.1).model_dump()  # nothing of the model of before


def test_a_preset_for_fine_tuning_keeps_its_recipe_and_image_size(digits):
    before = digits.params.model_dump(by_alias=True)
    own = {"layer_decay": 0.5, "lr": 0.01}
    after = VIT.params(before | {"train": before["train"] | own}, {"train": own, "pack": {"image_size": [30, 224]}})
    assert (after.train.layer_decay, after.train.lr, after.train.init_from) == (0.5, 0.01, NAME)
    assert (after.pack.image_size, after.model.drop_path_rate) == ([28, 224], 0.0)  # in whole patches


def test_a_model_of_torchvision_has_no_layers_to_decay(digits):
    pretrained = Pretrained("torchvision:resnet18", None, PACK, {"name": "torchvision/resnet18"})
    after = pretrained.params(digits.params.model_dump(by_alias=True), {})
    assert (after.model.name, after.train.layer_decay) == ("torchvision/resnet18", 1.0)


def test_the_file_says_where_it_comes_from_and_reads_back(digits, tmp_path):
    params = VIT.params(digits.params.model_dump(by_alias=True), {})
    text = VIT.text(params, "preset digits")
    (tmp_path / "params.yaml").write_text(text)
    assert load_params(tmp_path / "params.yaml") == params
    comments = "\n".join(line for line in text.splitlines() if line.startswith("#"))
    for told in (NAME, "apache-2.0", "What images they have seen is unknown", "preset digits"):
        assert told in comments


def test_what_contradicts_itself_is_refused(digits):
    odd = Pretrained(NAME, None, PACK | {"image_size": [30, 30]}, MODEL)
    with pytest.raises(UserError, match=r"\[30, 30\] is not a multiple of model\.patch_size 14"):
        odd.params(digits.params.model_dump(by_alias=True), {})
