import math

import pytest
import timm
import torch
import torch.nn.functional as F

from tests.presets import preset
from vit.models.families import new_model
from vit.models.residual import DropPath
from vit.models.vision_transformer import PatchEmbed, VisionTransformer, set_fused_attention, sincos2d

TINY = {
    "image_size": (8, 8),
    "in_chans": 1,
    "num_classes": 4,
    "patch_size": 2,
    "embed_dim": 16,
    "depth": 2,
    "num_heads": 4,
    "mlp_ratio": 2.0,
    "qkv_bias": True,
    "pool": "cls",
    "pos_embed": "learned",
    "norm": "layernorm",
    "drop_rate": 0.0,
    "attn_drop_rate": 0.0,
    "drop_path_rate": 0.0,
}
IMAGENET = TINY | {"image_size": (224, 224), "in_chans": 3, "num_classes": 1000, "mlp_ratio": 4.0}


def tiny(**changes) -> VisionTransformer:
    torch.manual_seed(0)
    return VisionTransformer(**TINY | changes).eval()


def images(count: int, channels: int = 1, height: int = 8, width: int = 8) -> torch.Tensor:
    return torch.randn(count, channels, height, width, generator=torch.Generator().manual_seed(1))


# The counts of the papers' sizes as torchvision and timm publish them, at 224 pixels and 1000 classes.
@pytest.mark.parametrize(
    ("patch_size", "embed_dim", "depth", "num_heads", "count"),
    [
        (16, 192, 12, 3, 5_717_416),
        (16, 384, 12, 6, 22_050_664),
        (16, 768, 12, 12, 86_567_656),
        (16, 1024, 24, 16, 304_326_632),
        (14, 1280, 32, 16, 632_045_800),
    ],
    ids=["Ti/16", "S/16", "B/16", "L/16", "H/14"],
)
def test_the_papers_sizes_have_the_published_number_of_parameters(patch_size, embed_dim, depth, num_heads, count):
    sizes = {"patch_size": patch_size, "embed_dim": embed_dim, "depth": depth, "num_heads": num_heads}
    with torch.device("meta"):
        model = VisionTransformer(**IMAGENET | sizes)
    assert sum(parameter.numel() for parameter in model.parameters()) == count


def test_the_shapes_preset_has_26180_parameters(tmp_path):
    # D = 32, patches of 2x2x1, 16 of them, a class token, depth 2, MLP of 128, 4 classes:
    #   patch_embed  4*32 + 32                                                    =    160
    #   cls_token    32                                                           =     32
    #   pos_embed    17*32                                                        =    544
    #   a block      norms 2*(32 + 32) = 128, qkv 32*96 + 96 = 3168, proj 32*32 + 32 = 1056,
    #                fc1 32*128 + 128 = 4224, fc2 128*32 + 32 = 4128; 12704 twice = 25,408
    #   norm         32 + 32                                                      =     64
    #   head         32*4 + 4                                                     =    132
    params = preset(tmp_path, "shapes")
    model = new_model(params.pack.model_dump() | {"classes": range(4), "model": params.model.model_dump()})
    assert sum(parameter.numel() for parameter in model.parameters()) == 160 + 32 + 544 + 2 * 12_704 + 64 + 132


@pytest.mark.parametrize(
    ("name", "sizes", "options"),
    [
        ("vit_tiny_patch16_224", (16, 192, 3), {}),
        ("vit_small_patch32_224", (32, 384, 6), {}),
        ("deit_tiny_patch16_224", (16, 192, 3), {}),
        ("deit_tiny_distilled_patch16_224", (16, 192, 3), {}),
        ("vit_tiny_patch16_224", (16, 192, 3), {"global_pool": "avg", "class_token": False}),
    ],
    ids=["vit_tiny", "vit_small_32", "deit_tiny", "deit_tiny_distilled", "vit_tiny_avg"],
)
def test_timms_weights_load_strictly_and_give_timms_logits(name, sizes, options):
    shape = dict(zip(("patch_size", "embed_dim", "num_heads"), sizes, strict=True)) | {"depth": 12, "num_classes": 10}
    pool, distilled = options.get("global_pool", "cls"), "distilled" in name
    with torch.device("meta"):  # the initialization of both would cost seconds and is replaced anyway
        theirs = timm.create_model(name, num_classes=10, **options)
        ours = VisionTransformer(**IMAGENET | shape | {"pool": pool, "distilled": distilled})
    torch.manual_seed(0)
    for model in (theirs, ours):
        model.to_empty(device="cpu").eval()
    with torch.no_grad():
        for weight_name, weight in theirs.named_parameters():
            # Norms scale by about 1; no bias is 0 or scale 1, which would hide it in the wrong place.
            is_scale = "norm" in weight_name and weight_name.endswith("weight")
            weight.normal_(1.0 if is_scale else 0.0, 0.1 if is_scale else 0.05)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    x = images(2, 3, 224, 224)
    with torch.inference_mode():
        expected = theirs(x)
        for fused in (True, False):
            set_fused_attention(ours, fused)
            torch.testing.assert_close(ours(x), expected, atol=1e-5, rtol=0)
        if distilled:
            theirs.set_distilled_training()
            torch.testing.assert_close(ours.train()(x), torch.stack(theirs.train()(x)), atol=1e-5, rtol=0)
    assert expected.std() > 0.1


def test_the_patch_embedding_is_the_convolution_whose_weights_it_holds():
    torch.manual_seed(0)
    embed = PatchEmbed(patch_size=4, in_chans=3, embed_dim=24)
    x = images(2, 3, 12, 20)
    torch.testing.assert_close(embed(x), embed.proj(x).flatten(2).transpose(1, 2), atol=1e-5, rtol=0)


@pytest.mark.parametrize("norm", ["layernorm", "rmsnorm"])
@pytest.mark.parametrize("pos_embed", ["learned", "sincos2d", "none"])
@pytest.mark.parametrize("pool", ["cls", "avg"])
@pytest.mark.parametrize("distilled", [False, True], ids=["plain", "distilled"])
def test_the_gradient_reaches_every_parameter(distilled, pool, pos_embed, norm):
    model = tiny(pool=pool, pos_embed=pos_embed, norm=norm, distilled=distilled).train()
    F.cross_entropy(model(images(3)).reshape(-1, 4), torch.tensor([0, 1, 2] * (1 + distilled))).backward()
    untouched = [name for name, value in model.named_parameters() if value.grad is None or not value.grad.any()]
    assert untouched == []


@pytest.mark.parametrize(("pos_embed", "is_blind_to_order"), [("none", True), ("learned", False), ("sincos2d", False)])
def test_only_positions_tell_the_order_of_the_patches(pos_embed, is_blind_to_order):
    model = tiny(pool="avg", pos_embed=pos_embed)
    x = images(2)
    patches = F.unfold(x, 2, stride=2)  # (2, 4, 16)
    shuffled = F.fold(patches[:, :, torch.randperm(16, generator=torch.Generator().manual_seed(2))], 8, 2, stride=2)
    with torch.inference_mode():
        difference = (model(x) - model(shuffled)).abs().max().item()
    assert (difference < 1e-5) is is_blind_to_order


def test_the_class_token_alone_answers_when_it_pools():
    # Without blocks nothing flows from the patches to the token, so the image cannot matter.
    model = tiny(pool="cls", depth=0)
    with torch.inference_mode():
        assert torch.equal(model(images(2))[0], model(images(2))[1])
        averaging = tiny(pool="avg", depth=0)
        assert not torch.allclose(averaging(images(2))[0], averaging(images(2))[1])


def test_the_class_token_has_no_fixed_position():
    model = tiny(pos_embed="sincos2d")
    assert torch.equal(model.pos_embed[0, 0], torch.zeros(16))
    assert torch.equal(model.pos_embed[0, 1:], sincos2d((4, 4), 16))


def test_drop_path_drops_whole_samples_and_keeps_the_mean():
    torch.manual_seed(0)
    drop = DropPath(0.25).train()
    dropped = drop(torch.ones(4000, 3, 2))
    of_sample = dropped.flatten(1)
    assert torch.equal(of_sample.amin(1), of_sample.amax(1))
    torch.testing.assert_close(of_sample[:, 0].unique(), torch.tensor([0.0, 1 / 0.75]))
    # The mean of 4000 draws of 0 or 4/3 has a standard error of sqrt(0.25 / 0.75 / 4000) = 0.009.
    assert abs(dropped.mean().item() - 1) < 0.04


def test_drop_path_is_the_identity_when_not_training():
    x = images(5)[:, 0]
    assert torch.equal(DropPath(0.9).eval()(x), x)


def test_drop_path_grows_linearly_from_none_in_the_first_block():
    model = tiny(depth=3, drop_path_rate=0.2)
    rates = [getattr(block.drop_path1, "drop_prob", None) for block in model.blocks]
    assert rates[0] is None
    assert rates[1:] == pytest.approx([0.1, 0.2])


@pytest.mark.parametrize("rate", ["drop_rate", "attn_drop_rate", "drop_path_rate"])
@pytest.mark.parametrize("fused", [True, False], ids=["fused", "math"])
def test_what_drops_at_random_does_so_in_training_only(rate, fused):
    model = tiny(**{rate: 0.5})
    set_fused_attention(model, fused)
    same = tiny()
    same.load_state_dict(model.state_dict())
    set_fused_attention(same, fused)
    x = images(4)
    with torch.no_grad():
        assert torch.equal(model(x), same(x))
        model.train()
        assert not torch.allclose(model(x), model(x))


def test_fused_and_written_out_attention_agree():
    model = tiny(depth=3)
    x = images(4)
    with torch.inference_mode():
        set_fused_attention(model, True)
        fused = model(x)
        set_fused_attention(model, False)
        torch.testing.assert_close(model(x), fused, atol=1e-5, rtol=0)
    assert not any(block.attn.fused_attn for block in model.blocks)


@pytest.mark.parametrize(("grid", "dim"), [((4, 4), 16), ((8, 14), 128), ((1, 7), 8)])
def test_fixed_positions_are_distinct_and_of_one_length(grid, dim):
    positions = sincos2d(grid, dim)
    # Each of the D/4 wavelengths brings sin^2 + cos^2 = 1 for the row and 1 for the column: D/2 together.
    torch.testing.assert_close(positions.norm(dim=1), torch.full((grid[0] * grid[1],), math.sqrt(dim / 2)))
    distances = torch.cdist(positions, positions) + torch.eye(len(positions))
    assert distances.min() > 0.1


def test_fixed_positions_run_row_by_row():
    positions = sincos2d((2, 3), 8).reshape(2, 3, 8)
    # The first half of the width tells the row, the second the column.
    assert torch.equal(positions[1, 0, :4], positions[1, 2, :4])
    assert torch.equal(positions[0, 2, 4:], positions[1, 2, 4:])
    # At the first wavelength the angle is the index itself.
    torch.testing.assert_close(positions[1, 0, 0], torch.tensor(math.sin(1)))
    torch.testing.assert_close(positions[0, 2, 4], torch.tensor(math.sin(2)))


def test_a_rectangular_image_is_read_along_its_long_side():
    model = tiny(image_size=(4, 12), pool="avg", pos_embed="sincos2d")
    x = images(2, 1, 4, 12)
    moved = x.roll(2, dims=3)
    with torch.inference_mode():
        assert not torch.allclose(model(x), model(moved))
    assert torch.equal(model.pos_embed[0], sincos2d((2, 6), 16))


def test_equal_seeds_give_equal_models():
    first, second = tiny().state_dict(), tiny().state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    torch.manual_seed(1)
    other = VisionTransformer(**TINY).state_dict()
    assert not torch.equal(first["head.weight"], other["head.weight"])
