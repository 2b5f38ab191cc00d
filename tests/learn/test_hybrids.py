"""The blocks of Swin and ConvNeXt are those of timm with the same weights."""

from functools import partial

import pytest
import torch
from timm.models.convnext import ConvNeXt
from timm.models.convnext import ConvNeXtBlock as TimmConvNeXtBlock
from timm.models.swin_transformer import SwinTransformer, SwinTransformerBlock
from torch import nn

from learn.hybrids import ConvNeXtBlock, Staged, swin_block, vit_block


def randomized(module: nn.Module) -> nn.Module:
    """With every parameter far from its initial value, so that none is tested while it does nothing."""
    generator = torch.Generator().manual_seed(0)
    for parameter in module.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) / parameter.shape[-1] ** 0.5
    return module.eval()


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
