"""Every `model.name` and `model.stem`: sizes, gradients, what is refused."""

import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.presets import REPO, preset
from vit.config.model import FAMILIES, Family, ModelParams
from vit.config.schema import NEEDS
from vit.errors import UserError
from vit.models.families import ARCHITECTURES, architecture_of, new_model, set_channels_last
from vit.models.stems import repeatable_max_pool
from vit.models.vision_transformer import VisionTransformer

CONV = {"stem": "conv", "patch_size": 4, "stem_widths": [16, 32]}
VARIANTS = {"cnn": {"name": "cnn"}, "resnet18": {"name": "torchvision/resnet18"}, "conv stem": CONV}


def config_of(folder: Path, channels: int = 1, image_size: tuple[int, int] = (8, 8), **model) -> dict:
    changes = {f"model.{key}": value for key, value in model.items()} | {"pack.image_size": list(image_size)}
    params = preset(folder, "shapes", changes)
    return {
        "image_size": image_size,
        "channels": channels,
        "classes": list("abcd"),
        "model": params.model.model_dump(),
    }


def example_of(family: Family) -> str:
    """A name that the family goes by: `torchvision/resnet18` for `torchvision/NAME, such as torchvision/resnet18`."""
    return family.spelled.split("such as ")[-1]


def built(folder: Path, seed: int = 0, **config) -> nn.Module:
    torch.manual_seed(seed)
    return new_model(config_of(folder, **config))


def images(count: int, channels: int = 1, height: int = 8, width: int = 8) -> torch.Tensor:
    return torch.randn(count, channels, height, width, generator=torch.Generator().manual_seed(1))


def size_of(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_the_small_cnn_has_389348_parameters_for_grey_images_and_four_classes(tmp_path):
    # 3x3 filters without bias between 1, 32, 64, 128 and 256 channels; scale and shift of 480 norms; head 256*4 + 4.
    filters = 9 * (1 * 32 + 32 * 64 + 64 * 128 + 128 * 256)
    assert size_of(built(tmp_path, name="cnn")) == filters + 2 * 480 + 1028 == 389_348


def test_resnet18_is_the_published_one_but_for_its_head_and_the_colours_of_its_first_filters(tmp_path):
    # torchvision publishes 11,689,512 for 1000 classes and 3 colours: less 996 classes of 512 + 1, and 2 * 64 * 7 * 7.
    assert size_of(built(tmp_path, name="torchvision/resnet18")) == 11_689_512 - 996 * 513 - 2 * 64 * 49


def test_the_convolutional_stem_has_5904_parameters(tmp_path):
    # P = 4 are two halvings, to widths 16 and 32: 9*1*16 and 2*16 of its norm, 9*16*32 and 2*32, then 32*32 + 32.
    stem = built(tmp_path, **CONV).patch_embed
    assert size_of(stem) == 144 + 32 + 4608 + 64 + 1056


@pytest.mark.parametrize("model", VARIANTS.values(), ids=VARIANTS)
def test_the_gradient_reaches_every_parameter(tmp_path, model):
    model = built(tmp_path, **model)
    F.cross_entropy(model(images(4)), torch.tensor([0, 1, 2, 3])).backward()
    untouched = [name for name, value in model.named_parameters() if value.grad is None or not value.grad.any()]
    assert untouched == []


@pytest.mark.parametrize(("height", "width"), [(8, 8), (9, 31), (64, 88)])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_cnn_takes_images_of_any_shape_whatever_the_patches(tmp_path, height, width, channels):
    model = built(tmp_path, name="cnn", channels=channels, image_size=(height, width)).eval()
    assert model(images(3, channels, height, width)).shape == (3, 4)


@pytest.mark.parametrize("patch_size", [2, 8, 16])
def test_the_stem_makes_a_token_of_each_patch_row_by_row(tmp_path, patch_size):
    model = built(tmp_path, image_size=(32, 48), stem="conv", patch_size=patch_size, stem_widths=[16] * 4).eval()
    rows, columns = 32 // patch_size, 48 // patch_size
    x = images(1, 1, 32, 48).requires_grad_()
    tokens = model.patch_embed(x)
    assert tokens.shape == (1, rows * columns, 32) and model(x).shape == (1, 4)
    # The pixels that a token depends on lie around its patch: the last column of the first row is above, on the right.
    (seen,) = torch.autograd.grad(tokens[0, columns - 1].abs().sum(), x)
    places = seen[0, 0].nonzero().float()
    assert places[:, 0].min() == 0 and places[:, 1].max() == 47
    # Each 3x3 convolution reaches one pixel of its input further: 1 + 2 + ... + P / 2 = P - 1 pixels of the image, and
    # one more for each of those at full size.
    reach = 2 * patch_size + 4 - patch_size.bit_length() + 1
    assert places[:, 0].max() < reach and places[:, 1].min() > 47 - reach


def test_pooling_written_out_is_that_of_pytorch_with_its_gradient():
    x, y = images(2, 3, 6, 10).requires_grad_(), torch.randn(2, 3, 3, 5)
    pooled, expected = repeatable_max_pool(x), F.max_pool2d(x, 2)
    assert torch.equal(pooled, expected)
    assert torch.equal(*(torch.autograd.grad((one * y).sum(), x)[0] for one in (pooled, expected)))


def test_a_grey_image_is_answered_as_the_same_grey_in_three_colours(tmp_path):
    name = "torchvision/resnet18"
    grey, colour = (built(tmp_path, name=name, channels=channels).eval() for channels in (1, 3))
    x = images(2)
    expected = colour(x.expand(-1, 3, -1, -1))
    torch.testing.assert_close(grey(x), expected, rtol=1e-4, atol=1e-5)
    assert expected.std(dim=0).min() > 0


@pytest.mark.parametrize("model", VARIANTS.values(), ids=VARIANTS)
def test_channels_last_changes_rounding_alone(tmp_path, model):
    model = built(tmp_path, **model).eval()
    x = images(2)
    expected = model(x)
    set_channels_last(model)
    torch.testing.assert_close(model(x), expected, rtol=1e-4, atol=1e-5)
    convolution = next(module for module in model.modules() if getattr(module, "kernel_size", 0) == (3, 3))
    assert convolution.weight.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("model", VARIANTS.values(), ids=VARIANTS)
def test_in_float32_the_stem_alone_is_channels_last(tmp_path, model):
    model = built(tmp_path, **model)
    set_channels_last(model, is_float32=True)
    convolutions = [module for module in model.modules() if getattr(module, "kernel_size", 0) == (3, 3)]
    is_stem = isinstance(model, VisionTransformer)
    for convolution in convolutions[1:]:  # of the first, one channel lies as it lies
        assert convolution.weight.is_contiguous(memory_format=torch.channels_last) is is_stem


def test_plain_patches_stay_as_they_are(tmp_path):
    model = built(tmp_path, channels=3)
    set_channels_last(model)
    assert model.patch_embed.proj.weight.is_contiguous()


def test_a_model_that_torchvision_lacks_is_refused_naming_near_ones(tmp_path):
    with pytest.raises(UserError, match=r"'torchvision/resnet19', which torchvision does not have; .*/resnet18,"):
        built(tmp_path, name="torchvision/resnet19")


def test_images_that_do_not_fit_through_a_model_are_refused_by_their_size(tmp_path):
    with pytest.raises(UserError, match=r"alexnet' does not accept images of 8x16 pixels .*pack\.image_size"):
        built(tmp_path, name="torchvision/alexnet", image_size=(8, 16))


@pytest.mark.parametrize("name", ["vit", "cnn"])
def test_keys_that_came_after_a_model_was_stored_have_their_defaults(tmp_path, name):
    config = config_of(tmp_path, name=name, stem="patch", norm="layernorm")
    older = {key: value for key, value in config["model"].items() if key not in ("stem", "stem_widths", "norm")}
    models = []
    for settings in (config["model"], older):
        torch.manual_seed(0)
        models.append(new_model(config | {"model": settings}).state_dict())
    assert models[0].keys() == models[1].keys()
    assert all(torch.equal(models[0][key], models[1][key]) for key in models[0])


@pytest.mark.parametrize("wrong", [{"registers": 4}, {"depth": 0}, {"name": "swin"}], ids=str)
def test_a_stored_section_that_this_release_does_not_know_is_refused_by_its_key(tmp_path, wrong):
    config = config_of(tmp_path)
    with pytest.raises(UserError, match=rf"model\.{next(iter(wrong))} in its config\.json: .*use the release"):
        new_model(config | {"model": config["model"] | wrong})


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.spelled)
def test_what_a_family_cannot_do_is_refused_by_the_parameter_and_what_it_can_is_taken(tmp_path, family):
    name = example_of(family)
    asked = {
        "layer_decay": 0.5,
        "frozen_layers": 1,
        "parallel": "fsdp",
        "attention": "math",
        "grad_checkpointing": True,
    }
    for key, value in asked.items():
        changes = {"model.name": name, f"train.{key}": value}
        if getattr(family, NEEDS[key][0]):
            assert getattr(preset(tmp_path, "shapes", changes).train, key) == value
        else:
            with pytest.raises(UserError, match=rf"train\.{key} .* is not supported for model\.name {name}; set it to"):
                preset(tmp_path, "shapes", changes)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.spelled)
def test_a_family_builds_models_that_learn_and_counts_their_layers_as_it_says(tmp_path, family):
    config = config_of(tmp_path, name=example_of(family), image_size=(32, 32))
    model = new_model(config)
    architecture = architecture_of(model)
    assert architecture.family is family
    F.cross_entropy(model(images(4, height=32, width=32)), torch.arange(4)).backward()
    assert [name for name, one in model.named_parameters() if one.grad is None or not one.grad.isfinite().all()] == []
    layers = {architecture.layer_of(name, model) for name, _ in model.named_parameters()}
    below = family.layers_below_the_head(ModelParams(**config["model"])) if family.layers_below_the_head else 0
    assert layers == set(range(below + 1))  # the head on top


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=lambda one: one.family.spelled)
def test_what_has_attention_or_can_recompute_is_a_vision_transformer_as_their_types_promise(architecture):
    is_vit = architecture.kind is VisionTransformer
    assert (architecture.family.has_attention, architecture.family.can_recompute) == (is_vit, is_vit)


def test_nobody_asks_for_a_family_by_its_name():
    names = "|".join(family.pattern.split("/")[0] for family in FAMILIES)
    kinds = "|".join(one.kind.__name__ for one in ARCHITECTURES if one.kind)
    asked = re.compile(rf"""name\s*(==|!=)\s*["']({names})|isinstance\([^)]*({kinds})""")
    for path in [*(REPO / "vit").rglob("*.py"), *(REPO / "stages").rglob("*.py")]:
        assert not asked.search(path.read_text(encoding="utf-8")), path
