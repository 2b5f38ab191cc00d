"""Windows hold what they should, before and after a shift, and nothing is read across the seam."""

import pytest
import torch
from torch import nn

from learn.windows import WindowAttention, merged, rolled, windows
from vit.models.vision_transformer import Attention


def attention(grid, side, shift, seed=0) -> WindowAttention:
    torch.manual_seed(seed)
    return WindowAttention(16, 2, grid, side, shift)


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
