"""Patches by hand, and the cost of attention as the operations are counted."""

import numpy as np

from tests.kinds import classifier_of
from vit.inference.patches import apart, attention_multiply_adds, cut, patch_sizes, token_count
from vit.inference.summary import count, without_memory


def test_patches_are_cut_row_by_row():
    image = np.arange(4 * 6).reshape(4, 6, 1)
    patches = cut(image, 2)
    assert patches.shape == (6, 2, 2, 1) and patches[1, ..., 0].tolist() == [[2, 3], [8, 9]]
    assert patches[3, ..., 0].tolist() == [[12, 13], [18, 19]]


def test_patches_laid_apart_keep_their_pixels():
    image = np.arange(16, dtype=np.uint8).reshape(4, 4, 1)
    sheet = apart(image, 2, gap=1)
    assert sheet.shape == (5, 5, 4) and sheet[3, 3].tolist() == [10, 10, 10, 255] and sheet[2, 2, 3] == 0


def test_only_sizes_that_tile_both_sides_are_offered():
    assert patch_sizes([12, 8]) == [1, 2, 4] and token_count([12, 8], 4) == 6


def test_attention_costs_what_the_counter_counts():
    classifier = without_memory(classifier_of("cls").config)
    counts = count(classifier).get_flop_counts()["VisionTransformer.blocks.0.attn"]
    inside = {str(name): flops for name, flops in counts.items() if "mm" in str(name) and "addmm" not in str(name)}
    linear = 4 * 17 * 16 * 16  # qkv and proj
    total = sum(counts.values()) // 2
    assert total - linear == attention_multiply_adds(17, 16, depth=1), inside
