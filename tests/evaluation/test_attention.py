"""Attention read by hooks, against attention computed by hand."""

import threading

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from vit.evaluation.attention import (
    attention_distance,
    attention_maps,
    filter_components,
    gradient_relevance,
    patch_distances,
    pooled,
    position_similarity,
    rollout,
)
from vit.models.vision_transformer import VisionTransformer, set_fused_attention

GRID = (2, 3)


def tiny(pool: str, fused: bool = False, seed: int = 0, **changes) -> VisionTransformer:
    """Three blocks of two heads on 4x6 pixels in patches of 2, with weights large enough to make attention uneven."""
    torch.manual_seed(seed)
    settings = {"image_size": [4, 6], "in_chans": 3, "num_classes": 4, "patch_size": 2, "embed_dim": 8, "depth": 3}
    settings |= {"num_heads": 2, "mlp_ratio": 2.0, "qkv_bias": True, "pool": pool, "pos_embed": "learned"}
    settings |= {"norm": "layernorm", "drop_rate": 0.2, "attn_drop_rate": 0.2, "drop_path_rate": 0.2}
    model = VisionTransformer(**settings | changes)
    with torch.no_grad():
        for block in model.blocks:
            block.attn.qkv.weight.normal_(std=0.8)
            block.attn.qkv.bias.normal_(std=0.3)
    set_fused_attention(model, fused)
    return model.train()  # the maps are those of eval mode all the same


def pixels(count: int = 5) -> Tensor:
    return torch.randn(count, 3, 4, 6, generator=torch.Generator().manual_seed(1))


def by_hand(model: VisionTransformer, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Logits and every block's attention (B, heads, N, N), which stands in the graph: equations 1 to 4 written out."""
    B, dim = len(x), model.head.in_features
    z = torch.nn.functional.conv2d(x, model.patch_embed.proj.weight, model.patch_embed.proj.bias, stride=2)
    tokens = [token.expand(B, -1, -1) for token in (model.cls_token, model.dist_token)]
    z = torch.cat([*tokens, z.flatten(2).transpose(1, 2)], dim=1) + model.pos_embed
    maps = []
    for block in model.blocks:
        n = torch.nn.functional.layer_norm(z, [dim], block.norm1.weight, block.norm1.bias, 1e-6)
        qkv = n @ block.attn.qkv.weight.T + block.attn.qkv.bias
        heads = []
        for head in range(2):
            # columns: q of all heads, k of all heads, v of all heads
            q, k, v = (qkv[..., part * dim + head * dim // 2 :][..., : dim // 2] for part in range(3))
            weights = torch.exp(q @ k.transpose(1, 2) / (dim // 2) ** 0.5)
            heads.append((weights / weights.sum(dim=-1, keepdim=True), v))
        maps.append(torch.stack([attention for attention, _ in heads], dim=1))
        mixed = torch.cat([maps[-1][:, head] @ v for head, (_, v) in enumerate(heads)], dim=-1)
        z = z + mixed @ block.attn.proj.weight.T + block.attn.proj.bias
        n = torch.nn.functional.layer_norm(z, [dim], block.norm2.weight, block.norm2.bias, 1e-6)
        hidden = torch.nn.functional.gelu(n @ block.mlp.fc1.weight.T + block.mlp.fc1.bias)
        z = z + hidden @ block.mlp.fc2.weight.T + block.mlp.fc2.bias
    last = model.norm if model.pool == "cls" else model.fc_norm
    read = z[:, 0] if model.pool == "cls" else z[:, -6:].mean(dim=1)
    read = torch.nn.functional.layer_norm(read, [dim], last.weight, last.bias, 1e-6)
    logits = read @ model.head.weight.T + model.head.bias
    if model.distilled:
        read = torch.nn.functional.layer_norm(z[:, -7], [dim], last.weight, last.bias, 1e-6)
        logits = (logits + read @ model.head_dist.weight.T + model.head_dist.bias) / 2
    return logits, maps


@pytest.mark.parametrize("pool", ["cls", "avg"])
@pytest.mark.parametrize("distilled", [False, True], ids=["plain", "distilled"])
@pytest.mark.parametrize("fused", [False, True], ids=["math", "fused"])
def test_the_maps_are_those_of_a_forward_pass_written_by_hand(pool, distilled, fused):
    # In double precision: how float32 rounds differs between processors.
    model, x = tiny(pool, fused, distilled=distilled).double(), pixels().double()
    logits, expected = by_hand(model, x)
    maps = attention_maps(model, x)
    tokens = 6 + (pool == "cls") + distilled
    assert maps.shape == (3, 5, 2, tokens, tokens)
    torch.testing.assert_close(maps, torch.stack(expected).detach().float(), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(model.eval()(x), logits, atol=1e-5, rtol=1e-5)  # by hand it is the same model
    assert maps.std() > 0.05


@pytest.mark.parametrize("pool", ["cls", "avg"])
@pytest.mark.parametrize("distilled", [False, True], ids=["plain", "distilled"])
@pytest.mark.parametrize("fused", [False, True], ids=["math", "fused"])
def test_relevance_is_that_of_gradients_taken_by_hand(pool, distilled, fused):
    model, x, labels = tiny(pool, fused, distilled=distilled), pixels(), torch.tensor([0, 3, 1, 2, 3])
    logits, maps = by_hand(model, x)
    gradients = torch.autograd.grad(logits[range(5), labels].sum(), maps)
    for image in range(5):
        expected = torch.eye(maps[0].shape[-1])
        for attention, gradient in zip(maps, gradients, strict=True):
            expected = expected + (attention[image] * gradient[image]).clamp(min=0).mean(dim=0) @ expected
        found = gradient_relevance(model, x, labels)[image]
        torch.testing.assert_close(found, (expected - torch.eye(len(expected))).detach(), atol=1e-5, rtol=1e-4)
        assert found.max() > 1e-3 and found.min() >= 0


def test_relevance_can_be_asked_for_where_gradients_are_off_and_leaves_none_behind():
    model, x, labels = tiny("avg"), pixels(), torch.tensor([0, 3, 1, 2, 3])
    expected = gradient_relevance(model, x, labels)
    model.requires_grad_(False)
    with torch.inference_mode():
        torch.testing.assert_close(gradient_relevance(model, x.clone(), labels), expected)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_looking_changes_nothing_in_the_model():
    model, x = tiny("cls"), pixels()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    gradient_relevance(model, x, torch.zeros(5, dtype=torch.int64))
    attention_maps(model, x)
    assert model.training and all(module.training for module in model.modules())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_threads_that_look_at_once_see_their_own_images():
    model = tiny("avg")
    inputs = [pixels(count) for count in (1, 2, 3, 4)] * 4
    expected = [attention_maps(model, x) for x in inputs]
    found: dict[int, Tensor] = {}
    start = threading.Barrier(len(inputs))

    def look(index: int) -> None:
        start.wait()
        found[index] = attention_maps(model, inputs[index])

    threads = [threading.Thread(target=look, args=(index,)) for index in range(len(inputs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(found[index], expected[index]) for index in range(len(inputs)))


@pytest.mark.parametrize("pool", ["cls", "avg"])
def test_rows_of_attention_and_of_its_rollout_sum_to_1(pool):
    maps = attention_maps(tiny(pool), pixels())
    for matrices in (maps, rollout(maps)):
        torch.testing.assert_close(matrices.sum(dim=-1), torch.ones(matrices.shape[:-1]))
        assert matrices.min() >= 0


@given(st.integers(1, 6), st.integers(1, 9), st.integers(0, 2**20))
@settings(max_examples=30, deadline=None)
def test_rollout_of_identity_is_identity_and_of_a_permutation_spreads_by_halves(depth, tokens, seed):
    identity = torch.eye(tokens).expand(depth, 2, 3, -1, -1)
    assert torch.equal(rollout(identity), torch.eye(tokens).expand(2, -1, -1))
    order = torch.randperm(tokens, generator=torch.Generator().manual_seed(seed))
    step = 0.5 * torch.eye(tokens)[order] + 0.5 * torch.eye(tokens)
    expected = torch.linalg.matrix_power(step, depth)
    torch.testing.assert_close(rollout(torch.eye(tokens)[order].expand(depth, 1, 2, -1, -1))[0], expected)


def test_rollout_multiplies_later_blocks_from_the_left():
    first, second = torch.tensor([[0.0, 1.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    maps = torch.stack([first, second])[:, None, None]  # (depth, B, heads, N, N)
    # (0.5 second + 0.5 I)(0.5 first + 0.5 I) = [[1, 0], [.5, .5]] [[.5, .5], [0, 1]] = [[.5, .5], [.25, .75]]
    torch.testing.assert_close(rollout(maps)[0], torch.tensor([[0.5, 0.5], [0.25, 0.75]]))


def test_what_the_head_reads_is_the_class_token_or_the_mean_of_all_patches():
    matrix = torch.tensor([[0.2, 0.3, 0.5], [0.6, 0.4, 0.0], [0.1, 0.2, 0.7]])
    torch.testing.assert_close(pooled(matrix, tiny("cls")), torch.tensor([0.3, 0.5]))
    torch.testing.assert_close(pooled(matrix, tiny("avg")), torch.tensor([0.3, 0.3, 0.4]))


def test_of_a_distilled_model_it_is_the_mean_of_what_both_heads_read():
    matrix = torch.tensor([[0.1, 0.2, 0.3, 0.4], [0.3, 0.1, 0.6, 0.0], [0.5, 0.0, 0.2, 0.3], [0.2, 0.2, 0.4, 0.2]])
    # Two tokens and two patches: the rows of both tokens, over the patches' columns.
    torch.testing.assert_close(pooled(matrix, tiny("cls", distilled=True)), torch.tensor([0.45, 0.2]))
    # One token and three patches: its row (0.2, 0.3, 0.4), and the mean of theirs, (0.3, 1.2, 0.5) / 3.
    expected = torch.tensor([0.2 + 0.3 / 3, 0.3 + 0.4, 0.4 + 0.5 / 3]) / 2
    torch.testing.assert_close(pooled(matrix, tiny("avg", distilled=True)), expected)


@given(st.integers(1, 40), st.integers(1, 32))
@settings(max_examples=40, deadline=None)
def test_the_distance_of_uniform_attention_along_a_line_is_the_closed_form(length, patch_size):
    # The mean of |i - j| over all pairs of 0..n-1 is (n^2 - 1) / (3 n).
    expected = patch_size * (length**2 - 1) / (3 * length)
    for grid in ((1, length), (length, 1)):
        uniform = torch.full((2, 3, 4, length, length), 1 / length)
        found = attention_distance(uniform, patch_distances(grid, patch_size))
        torch.testing.assert_close(found, torch.full((2, 4), expected), atol=1e-3, rtol=1e-4)


def test_the_distance_on_a_square_is_that_of_pythagoras_and_of_attention_to_itself_zero():
    distances = patch_distances((2, 2), 4)
    uniform = torch.full((1, 1, 1, 4, 4), 0.25)
    # From any corner: 0, 4, 4 and 4 sqrt(2) pixels.
    assert attention_distance(uniform, distances).item() == pytest.approx((8 + 4 * 2**0.5) / 4, abs=1e-5)
    assert attention_distance(torch.eye(4)[None, None, None], distances).item() == 0


def test_the_class_token_has_no_place_and_counts_for_no_distance():
    patches = attention_maps(tiny("avg"), pixels())
    share = 0.3  # of each row goes to a class token, whose own row does not matter
    with_token = torch.nn.functional.pad(patches * (1 - share), (1, 0, 1, 0))
    with_token[..., 0] = share
    distances = patch_distances(GRID, 2)
    torch.testing.assert_close(attention_distance(with_token, distances), attention_distance(patches, distances))


def test_heads_and_blocks_keep_their_place_in_the_distances():
    near, far = torch.eye(6), torch.eye(6).flip(0)
    maps = torch.stack([torch.stack([near, near]), torch.stack([near, far])])[:, None]  # (depth 2, B 1, heads 2, 6, 6)
    found = attention_distance(maps, patch_distances((1, 6), 1))
    # Mirrored, patch i looks |5 - 2 i| pixels away: 5, 3, 1, 1, 3, 5, in the mean 3.
    torch.testing.assert_close(found, torch.tensor([[0.0, 0.0], [0.0, 3.0]]))


@pytest.mark.parametrize("pool", ["cls", "avg"])
def test_a_position_is_most_similar_to_itself_and_the_class_token_has_no_panel(pool):
    model = tiny(pool, pos_embed="sincos2d")
    similarity = position_similarity(model, GRID)
    assert similarity.shape == (*GRID, *GRID)
    for row in range(2):
        for column in range(3):
            assert similarity[row, column, row, column] == pytest.approx(1, abs=1e-6)
            assert similarity[row, column].flatten().argmax() == row * 3 + column
    torch.testing.assert_close(similarity, similarity.permute(2, 3, 0, 1))


def test_similarity_is_the_cosine():
    model = tiny("cls")
    with torch.no_grad():
        model.pos_embed[0, 1:] = torch.eye(8)[:6]
        model.pos_embed[0, 2] = torch.tensor([3.0, 4.0, 0, 0, 0, 0, 0, 0])  # at (0, 1): 0.6 of axis 0, 0.8 of axis 1
        model.pos_embed[0, 1] *= -2
    similarity = position_similarity(model, GRID)
    assert similarity[0, 0, 0, 1] == pytest.approx(-0.6)
    assert similarity[0, 0, 0, 2] == similarity[1, 1, 1, 2] == 0


def test_filters_made_of_one_pattern_have_one_component_which_is_that_pattern():
    model = tiny("avg")
    pattern = torch.arange(12.0).reshape(3, 2, 2) - 4
    with torch.no_grad():
        model.patch_embed.proj.weight.copy_(torch.linspace(-1, 2, 8)[:, None, None, None] * pattern)
    components, shares = filter_components(model)
    assert components.shape == (8, 3, 2, 2)
    torch.testing.assert_close(components[0], pattern / pattern.norm())
    torch.testing.assert_close(shares[0], torch.tensor(1.0))


def test_components_are_orthogonal_and_their_shares_sum_to_1_the_largest_first():
    components, shares = filter_components(tiny("avg"))
    flat = components.flatten(1)
    torch.testing.assert_close(flat[:7] @ flat[:7].T, torch.eye(7), atol=1e-5, rtol=0)  # 8 filters less their mean
    assert shares.sum() == pytest.approx(1, abs=1e-5) and (shares.diff() <= 1e-7).all()
