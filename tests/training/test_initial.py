"""Weights that timm made, in our model: the same logits after timm's own fitting to another grid, channel and head."""

from pathlib import Path

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from timm.layers import resample_abs_pos_embed
from timm.models import adapt_input_conv
from timm.models.deit import VisionTransformerDistilled
from timm.models.vision_transformer import VisionTransformer as TimmViT
from timm.models.vision_transformer import checkpoint_filter_fn

from tests.presets import preset
from vit.errors import UserError
from vit.files import write_json
from vit.inference.classifier import Classifier
from vit.training.initial import initialize, resample_positions

SIZES = {"patch_size": 4, "embed_dim": 16, "depth": 2, "num_heads": 4}
LEARNED = {"model.pos_embed": "learned", "model.pool": "cls"}


def random_timm(**changes) -> TimmViT:
    """A tiny model of timm's for 16x16 pixels in 7 classes, every weight at random."""
    kind = changes.pop("kind", TimmViT)
    torch.manual_seed(1)
    model = kind(**{"img_size": 16, "num_classes": 7} | SIZES | changes)
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(0, 0.2)
    return model.eval()


def new_classifier(tmp_path: Path, size=(16, 16), channels=3, classes=3, **changes) -> Classifier:
    sizes = {f"model.{name}": value for name, value in SIZES.items()}
    shape = {"pack.image_size": list(size), "pack.channels": channels}
    params = preset(tmp_path, "shapes", sizes | shape | LEARNED | {f"model.{k}": v for k, v in changes.items()})
    config = {
        "classes": [f"class {number}" for number in range(classes)],
        "image_size": params.pack.image_size,
        "channels": channels,
        "model": params.model.model_dump(),
        "compute": {"attention": "fused"},
    }
    torch.manual_seed(0)
    classifier = Classifier.new(config, torch.device("cpu"))
    classifier.model.eval()
    return classifier


def folder_of(tmp_path: Path, weights: dict, config: dict | None = None) -> Path:
    folder = tmp_path / "init"
    folder.mkdir(exist_ok=True)
    safetensors.torch.save_file(
        {name: weight.clone() for name, weight in weights.items()}, folder / "model.safetensors"
    )
    if config is not None:
        write_json(folder / "config.json", config)
    return folder


def images(channels: int, height: int, width: int) -> torch.Tensor:
    return torch.randn(2, channels, height, width, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("options", [{}, {"no_embed_class": True}], ids=["class token with a position", "without"])
@pytest.mark.parametrize("size", [(16, 16), (24, 40), (8, 8)])
@pytest.mark.parametrize("channels", [3, 1])
def test_timms_weights_give_timms_logits_on_another_grid_and_with_one_channel(tmp_path, options, size, channels):
    small = random_timm(**options)
    theirs = TimmViT(**SIZES, img_size=size, in_chans=channels, num_classes=3, **options).eval()
    ours = new_classifier(tmp_path, size, channels)
    weights = checkpoint_filter_fn(small.state_dict(), theirs)
    weights["patch_embed.proj.weight"] = adapt_input_conv(channels, weights["patch_embed.proj.weight"])
    weights |= {name: ours.model.state_dict()[name] for name in ("head.weight", "head.bias")}
    theirs.load_state_dict(weights)

    said = initialize(ours, folder_of(tmp_path, small.state_dict()))
    x = images(channels, *size)
    with torch.inference_mode():
        torch.testing.assert_close(ours.model(x), theirs(x), atol=1e-5, rtol=0)
    assert ("position embeddings resampled from 4x4 to" in " ".join(said)) is (size != (16, 16))
    assert ("three channels summed into one in patch_embed.proj.weight" in said) is (channels == 1)
    assert said[-1] == "new head for 3 classes, because the classes of the weights are unknown"


sides = st.integers(1, 9)


@settings(deadline=None, max_examples=60)
@given(st.tuples(sides, sides), st.tuples(sides, sides))
def test_positions_of_any_grid_are_resampled_as_timm_does(old, new):
    held = torch.randn(1, old[0] * old[1], 8, generator=torch.Generator().manual_seed(0))
    theirs = resample_abs_pos_embed(held, list(new), list(old), num_prefix_tokens=0)
    assert torch.equal(resample_positions(held[0], old, new), theirs[0])


def test_an_average_of_the_patches_takes_a_class_tokens_weights_without_the_token(tmp_path):
    small = random_timm()
    ours = new_classifier(tmp_path, pool="avg")
    said = initialize(ours, folder_of(tmp_path, small.state_dict()))
    assert said[:2] == ["cls_token left out", "norm used as fc_norm"]
    with torch.inference_mode():
        x = small.patch_embed(images(3, 16, 16)) + small.pos_embed[:, 1:]
        expected = ours.model.head(small.norm(small.blocks(x).mean(dim=1)))
        torch.testing.assert_close(ours.model(images(3, 16, 16)), expected, atol=1e-5, rtol=0)


def test_a_class_token_is_new_where_the_weights_have_none(tmp_path):
    small = random_timm(global_pool="avg", class_token=False)
    ours = new_classifier(tmp_path)
    fresh = {name: weight.clone() for name, weight in ours.model.state_dict().items()}
    assert initialize(ours, folder_of(tmp_path, small.state_dict()))[:2] == ["cls_token new", "fc_norm used as norm"]
    assert torch.equal(ours.model.cls_token, fresh["cls_token"])
    assert torch.equal(ours.model.pos_embed[:, :1], fresh["pos_embed"][:, :1])
    assert torch.equal(ours.model.pos_embed[:, 1:], small.pos_embed)


def test_a_distilled_model_gives_all_but_its_distillation_token(tmp_path):
    small = random_timm(kind=VisionTransformerDistilled)
    ours = new_classifier(tmp_path, size=(24, 24))
    said = initialize(ours, folder_of(tmp_path, small.state_dict()))
    assert said[:2] == ["position embeddings resampled from 4x4 to 6x6 patches", "dist_token left out"]
    expected = resample_abs_pos_embed(small.pos_embed, [6, 6], num_prefix_tokens=2)
    assert torch.equal(ours.model.pos_embed[:, 1:], expected[:, 2:])
    assert torch.equal(ours.model.pos_embed[:, 0], small.pos_embed[:, 0])


@pytest.mark.parametrize(
    ("classes", "is_kept"),
    [(["class 0", "class 1", "class 2"], True), (["class 1", "class 0", "class 2"], False), (["a", "b"], False)],
    ids=["the same", "another order", "others"],
)
def test_the_head_is_kept_for_the_same_classes_in_the_same_order_alone(tmp_path, classes, is_kept):
    teacher = new_classifier(tmp_path, classes=len(classes))
    config = teacher.config | {"classes": classes}
    with torch.no_grad():
        teacher.model.head.weight.add_(1)
    weights = teacher.model.state_dict() | {"head_dist.weight": torch.zeros(len(classes), 16)}
    ours = new_classifier(tmp_path)
    fresh = ours.model.head.weight.clone()
    (said,) = initialize(ours, folder_of(tmp_path, weights, config))
    assert torch.equal(ours.model.head.weight, teacher.model.head.weight if is_kept else fresh)
    assert said.startswith(
        "head kept" if is_kept else "new head for 3 classes, because the classes of the weights are different"
    )


def test_positions_of_a_grid_that_is_not_square_need_the_settings_of_their_model(tmp_path):
    wide = new_classifier(tmp_path, size=(8, 24))  # 2x6 patches and a token: 13 positions
    ours = new_classifier(tmp_path, size=(16, 16))
    with pytest.raises(UserError, match="its 13 position embeddings do not form a square grid"):
        initialize(ours, folder_of(tmp_path, wide.model.state_dict()))
    initialize(ours, folder_of(tmp_path, wide.model.state_dict(), wide.config))
    expected = resample_positions(wide.model.pos_embed[0, 1:], (2, 6), (4, 4))
    assert torch.equal(ours.model.pos_embed[0, 1:], expected)


@pytest.mark.parametrize(
    ("theirs", "ours", "message"),
    [
        (
            {"patch_size": 8, "img_size": 32},
            {},
            r"wrong shape: patch_embed.proj.weight .* set model.patch_size: 8,",
        ),
        ({"embed_dim": 8}, {}, r"wrong shape: cls_token \[1, 1, 8\], not \[1, 1, 16\].* set model.embed_dim: 8,"),
        ({"depth": 1}, {}, r"missing: blocks.1.* and 6 more. set model.depth: 1,"),
        ({"depth": 3}, {}, r"left over: blocks.2.* and 6 more. set model.depth: 3,"),
        ({"mlp_ratio": 2.0}, {}, r"fc1.weight \[32, 16\], not \[64, 16\].* set model.mlp_ratio: 2.0,"),
        ({"qkv_bias": False}, {}, r"missing: blocks.0.attn.qkv.bias.* set model.qkv_bias: False,"),
        ({}, {"pos_embed": "sincos2d"}, r"left over: pos_embed. set model.pos_embed: learned,"),
        (
            {"init_values": 0.1},
            {},
            r"left over: blocks.0.ls1.gamma.* set model.init_values: 1e-05,",
        ),
        ({"reg_tokens": 2}, {}, r"left over: reg_token; set model.reg_tokens: 2,"),
        (
            {"qk_norm": True},
            {},
            r"left over: blocks.0.attn.k_norm.* set section model to the parameters of the weights",
        ),
    ],
    ids=lambda value: ", ".join(value) if isinstance(value, dict) else "",
)
def test_weights_that_do_not_fit_are_refused_with_the_parameter_to_set(tmp_path, theirs, ours, message):
    classifier = new_classifier(tmp_path, **ours)
    with pytest.raises(UserError, match=message):
        initialize(classifier, folder_of(tmp_path, random_timm(**theirs).state_dict()))


def test_what_no_shape_tells_is_compared_where_it_is_known(tmp_path):
    theirs = new_classifier(tmp_path, num_heads=2)
    folder = folder_of(tmp_path, theirs.model.state_dict(), theirs.config)
    with pytest.raises(UserError, match=r"belong to a different model; set model\.num_heads: 2$"):
        initialize(new_classifier(tmp_path), folder)


def test_without_weights_the_model_stays_as_it_was_drawn(tmp_path):
    assert initialize(new_classifier(tmp_path), tmp_path) == []
