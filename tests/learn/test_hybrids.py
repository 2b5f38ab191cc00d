"""Windows hold what they should, and the blocks are those of timm with the same weights."""

from functools import partial

import pytest
import torch
from timm.models.convnext import ConvNeXt
from timm.models.convnext import ConvNeXtBlock as TimmConvNeXtBlock
from timm.models.swin_transformer import SwinTransformer, SwinTransformerBlock
from torch import nn

from learn.hybrids import ConvNeXtBlock, Staged, swin_block, vit_block
from learn.windows import WindowAttention, merged, rolled, windows
from vit.models.vision_transformer import Attention


def attention(grid, side, shift, seed=0) -> WindowAttention:
    torch.manual_seed(seed)
    return WindowAttention(16, 2, grid, side, shift)


def randomized(module: nn.Module) -> nn.Module:
    """With every parameter far from its initial value, so that none is tested while it does nothing."""
    generator = torch.Generator().manual_seed(0)
    for parameter in module.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) / parameter.shape[-1] ** 0.5
    return module.eval()


def test_a_grid_of_4x4_has_four_windows_of_2x2_and_a_roll_by_one_begins_with_token_5():
    tokens = torch.arange(16).reshape(1, 16, 1)
    cut = [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]
    assert windows(tokens, 4, 2)[0, ..., 0].tolist() == cut
    assert windows(rolled(tokens, 4, 1), 4, 2)[0, ..., 0].tolist() == [
        [5, 6, 9, 10],
        [7, 4, 11, 8],
        [13, 14, 1, 2],
        [15, 12, 3, 0],
    ]
    x = torch.randn(2, 144, 3)
    assert torch.equal(merged(windows(x, 12, 4), 12, 4), x)
    assert torch.equal(rolled(rolled(x, 12, 2), 12, -2), x)


@pytest.mark.parametrize("shift", [0, 1, 2])
def test_a_token_attends_to_all_of_its_window_and_to_nothing_across_the_seam(shift):
    seen = attention(8, 4, shift).attention_map(torch.randn(3, 64, 16))
    rows, columns = torch.cartesian_prod(torch.arange(8), torch.arange(8)).T
    # Windows on a plane without edges: they begin at `shift`, and the image's edges cut them.
    row, column = ((places - shift).div(4, rounding_mode="floor") for places in (rows, columns))
    together = (row[:, None] == row) & (column[:, None] == column)
    assert torch.equal(seen > 0, together.expand_as(seen))
    assert torch.allclose(seen.sum(-1), torch.ones(3, 2, 64))


def test_the_output_changes_only_in_windows_whose_input_changed():
    layer = attention(8, 4, 2)
    x = torch.randn(1, 64, 16)
    other = x.clone()
    other[0, 0] += 1  # the corner: with a shift of 2 its window is the 2x2 tokens there
    changed = (layer(x) - layer(other)).abs().amax(-1).reshape(8, 8) > 0
    assert changed[:2, :2].all() and changed.sum() == 4


def test_a_window_as_large_as_the_grid_is_plain_attention():
    layer = attention(4, 4, 0)
    nn.init.zeros_(layer.relative_position_bias_table)
    plain = Attention(16, 2, qkv_bias=True, attn_drop=0.0, proj_drop=0.0)
    plain.load_state_dict(layer.state_dict(), strict=False)
    x = torch.randn(2, 16, 16)
    assert torch.allclose(layer(x), plain(x), atol=1e-6)


@pytest.mark.parametrize("number", [0, 1])
def test_a_swin_block_gives_what_timm_gives_with_the_same_weights(number):
    ours = randomized(swin_block(64, 8, number, largest=4))
    theirs = SwinTransformerBlock(64, (8, 8), num_heads=2, window_size=4, shift_size=2 * number).eval()
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 64, 64)
    expected = theirs(x.reshape(2, 8, 8, 64)).reshape(2, 64, 64)  # a map (B, H, W, D)
    assert torch.allclose(ours(x), expected, atol=1e-5)


def test_a_convnext_block_gives_what_timm_gives_with_the_same_weights():
    ours = randomized(ConvNeXtBlock(32, 8, 0))
    theirs = TimmConvNeXtBlock(32).eval()
    theirs.load_state_dict({name.replace("ls.gamma", "gamma"): value for name, value in ours.state_dict().items()})
    x = torch.randn(2, 64, 32)
    expected = theirs(x.transpose(1, 2).reshape(2, 32, 8, 8)).flatten(2).transpose(1, 2)
    assert torch.allclose(ours(x), expected, atol=1e-5)


def test_the_tiny_models_have_as_many_parameters_as_timms():
    def count(model):
        return sum(parameter.numel() for parameter in model.parameters())

    with torch.device("meta"):
        assert count(Staged(ConvNeXtBlock, 224, depths=(3, 3, 9, 3))) == count(ConvNeXt())
        swin = Staged(partial(swin_block, largest=7), 224)
        # Swin's downsampling normalizes 4C features instead of C, and has no bias of 2C.
        difference = sum(2 * 3 * width - 2 * width for width in (96, 192, 384))
        assert count(swin) == count(SwinTransformer()) - difference


@pytest.mark.parametrize("new_block", [vit_block, partial(swin_block, largest=2), ConvNeXtBlock])
def test_gradients_reach_every_parameter(new_block):
    torch.manual_seed(0)
    model = Staged(new_block, 32, in_chans=1, num_classes=3, widths=(32, 64), depths=(2, 2), positions=True)
    model(torch.randn(2, 1, 32, 32)).square().sum().backward()
    assert not [
        name for name, parameter in model.named_parameters() if parameter.grad is None or not parameter.grad.any()
    ]
