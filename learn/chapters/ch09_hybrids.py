# %% [markdown]
# # 9. Hybrids
#
# A ViT lets every patch ask every other one, and pays for it with the square of their number. A CNN looks near and pays
# little. Between the two lie the *hybrids*. This chapter takes one idea apart: **keep the block of the transformer, and
# decide again how far it looks.**
#
# Swin keeps attention, but only within small windows, which move from block to block. ConvNeXt keeps all but the
# attention, and puts a 7x7 convolution in its place. Both are written out in
# [learn/windows.py](../../learn/windows.py) and [learn/hybrids.py](../../learn/hybrids.py), a screen each, from the
# parts of the project's ViT. Tests compare them with timm's blocks: the same weights give the same numbers.

# %%
import math
import time
from functools import partial

import torch

from learn.digits import digits
from learn.hybrids import ConvNeXtBlock, Staged, swin_block, vit_block
from learn.page import claim, shortened, show
from learn.training import accuracy, fit, recipe
from learn.windows import WindowAttention, merged, rolled, windows
from vit.evaluation.attention import attention_distance, patch_distances
from vit.evaluation.explain import model_input
from vit.inference.classifier import Classifier
from vit.inference.summary import count
from vit.models.families import new_model
from vit.models.vision_transformer import set_fused_attention

torch.set_num_threads(1)
swin = Staged(swin_block, side=64)
x = swin.stem(torch.randn(1, 3, 64, 64))
for number, stage in enumerate(swin.stages, 1):
    x = stage(x).detach()
    print(f"stage {number}: {tuple(x.shape)}, a grid of {math.isqrt(x.shape[1])}x{math.isqrt(x.shape[1])} tokens")

# %% [markdown]
# That is the other thing both have from CNNs: *stages*. The first tokens are patches of only 4x4 pixels. Between
# stages, four neighbours become one token of twice the width. A ViT has one grid from the first block to the last.
#
# ## Windows, and why they move
#
# Here is a grid of 4x4 tokens in windows of 2x2, and the same after a roll by one: what leaves at the upper and left
# edge enters at the lower and right one.

# %%
tokens = torch.arange(16).reshape(1, 16, 1)  # (B, N, D)
print("windows     ", windows(tokens, grid=4, side=2)[0, ..., 0].tolist())
print("after a roll", windows(rolled(tokens, grid=4, shift=1), grid=4, side=2)[0, ..., 0].tolist())
moved = WindowAttention(dim=16, num_heads=2, grid=4, side=2, shift=1)
print("the first and the last window's tokens may attend to each other:")
print(moved.allowed[[0, 3]].int().tolist())

# %% [markdown]
# After the roll the first window joins tokens of four windows: 5, 6, 9 and 10 are neighbours in the middle of the
# image. The last one holds 15, 12, 3 and 0, the four corners, which are neighbours only because of the roll. A mask
# keeps them apart, so that nothing is read across the seam. The block around it is
# [[vit.models.vision_transformer.Block]] with another attention inside.
#
# Why move them at all? Without it, a window is an image of its own. Take a model with windows that stay, cut a
# digit into quarters, and shuffle the quarters:

# %%
data = digits()
# Two stages, with grids of 8x8 and 4x4 tokens for a digit.
SMALL = {"side": 8, "patch_size": 1, "in_chans": 1, "num_classes": 10, "widths": (32, 64), "depths": (2, 2)}
KINDS = {
    "whole image": partial(swin_block, head_dim=16, largest=8),
    "windows": partial(swin_block, head_dim=16, largest=2, shifts=False),
    "shifted windows": partial(swin_block, head_dim=16, largest=2),
    "ConvNeXt": partial(ConvNeXtBlock, init_values=0.1),  # as published 1e-6, which takes long to grow
}


def new(kind, seed=0):
    torch.manual_seed(seed)
    config = data.preprocessing | {"model": {"patch_size": 1}, "compute": {"attention": "math"}}
    return Classifier(Staged(KINDS[kind], **SMALL), config, torch.device("cpu"))


images = model_input(new("windows"), data.val.images[:50])
quarters = windows(images.flatten(2).transpose(1, 2), grid=8, side=4)  # (B, 4, 16, 1)
shuffled = merged(quarters[:, [2, 0, 3, 1]], grid=8, side=4).transpose(1, 2).reshape(images.shape)
apart = {}
for kind in KINDS:
    with torch.no_grad():
        model = new(kind).model.eval()
        apart[kind] = (model(images) - model(shuffled)).abs().max().item()
    print(f"{kind:15}: the logits differ by at most {apart[kind]:.1e} after shuffling the quarters")

# %% [markdown]
# With windows that stay, the model cannot tell an 8 from the jumble of its quarters, whatever it learns: no number from
# one quarter ever meets one from another before the last average. This holds as long as the windows of *all* stages
# fit into the quarters, as here with windows of 2x2 tokens: 4 pixels in the second stage.
#
# ## How far one token sees
#
# The same question as in chapter 0, answered by the gradient: which tokens can change the one in the middle, after one,
# two, three, four blocks? The grid has 32x32 tokens, the windows 4x4.

# %%
GRID, DEPTH = 32, 4
REACH = {
    "windows": partial(swin_block, head_dim=16, largest=4, shifts=False),
    "shifted windows": partial(swin_block, head_dim=16, largest=4),
    "ConvNeXt": partial(ConvNeXtBlock, init_values=1.0),
    "ViT": partial(vit_block, head_dim=16),
}


def seen(new_block):
    """Size of the gradient of the middle token's features by token, after each block, (DEPTH, GRID, GRID)."""
    torch.manual_seed(0)
    start = torch.randn(2, GRID * GRID, 16, requires_grad=True)
    x, sizes = start, []
    for number in range(DEPTH):
        x = new_block(16, GRID, number)(x)
        middle = x[:, GRID // 2 * GRID + GRID // 2]
        (gradient,) = torch.autograd.grad((middle * torch.randn(16)).sum(), start, retain_graph=True)
        sizes.append(gradient.abs().sum(dim=(0, 2)).reshape(GRID, GRID))
    return torch.stack(sizes)


reach = {kind: seen(new_block) for kind, new_block in REACH.items()}
widths = {kind: [int((size > 0).any(dim=0).sum()) for size in sizes] for kind, sizes in reach.items()}
for kind, sides in widths.items():
    print(f"{kind:15}: tokens in a row that reach the middle one after 1 to {DEPTH} blocks: {sides}")


def draw(figure):
    for row, (kind, sizes) in zip(figure.subplots(4, DEPTH), reach.items(), strict=True):
        for number, (axes, size) in enumerate(zip(row, sizes, strict=True), 1):
            axes.imshow((size / size.max()).pow(0.2), cmap="inferno")  # the power shows what is faint
            axes.set(xticks=[], yticks=[])
            if number == 1:
                axes.set_ylabel(kind.replace(" ", "\n"))
            if kind == "windows":
                axes.set_title(f"{number} block{'s' if number > 1 else ''}")


_ = show(
    draw,
    "What the middle one of 32 by 32 tokens sees after one to four blocks: with windows always the same square, with "
    "shifted windows and with ConvNeXt a square that grows, with a ViT everything from the first block on.",
    height=4.6,
)

# %%
claim(
    "Liu et al. 2021 (Swin), section 3.2",
    "shifting the windows connects those that lie side by side",
    f"width of what a token sees after 1 to {DEPTH} blocks, in tokens: {widths['shifted windows']} with shifts, "
    f"{widths['windows']} without; shuffled quarters change the logits by {apart['shifted windows']:.0e} and "
    f"{apart['windows']:.0e}",
    holds=widths["shifted windows"][-1] > widths["windows"][-1] and apart["windows"] < 1e-4 < apart["shifted windows"],
)

# %% [markdown]
# Each block of shifted windows adds one window's width, each ConvNeXt block six tokens. In a ViT one block is
# enough. A Swin of twelve blocks gets there too, because its stages halve the grid under way.
#
# ## What it costs
#
# Now the published sizes: Swin-T and ConvNeXt-T with four stages, the same stages with a ViT's attention over the whole
# grid, and ViT-S, which avoids the question by patches of 16 pixels. We count multiply-adds at 64, 128 and 224 pixels
# ([[vit.inference.summary.count]]) and take the time for one image on one core. A window has 8x8 tokens, or 7x7 where 8
# does not divide the grid.

# %%
SIDES = (64, 128, 224)[: shortened(3, to=2)]
WIDTHS = [width // shortened(1, to=3) for width in (96, 192, 384, 768)]
OF_VIT_S = {"patch_size": 16, "depth": 12, "num_heads": 6, "pool": "avg", "pos_embed": "sincos2d"}
VIT_S = OF_VIT_S | {"embed_dim": shortened(384, to=96)}
COSTS = {
    "ViT-S, patches of 16": None,
    "ViT in stages": partial(Staged, vit_block, positions=True),
    "Swin-T": partial(Staged, swin_block),
    "ConvNeXt-T": partial(Staged, ConvNeXtBlock, depths=(3, 3, 9, 3)),
}


def build(kind, side):
    if new_staged := COSTS[kind]:
        return new_staged(side, widths=WIDTHS).eval().requires_grad_(False)
    config = {"image_size": [side, side], "channels": 3, "classes": [""] * 1000, "model": VIT_S}
    return new_model(config).eval().requires_grad_(False)


def multiply_adds(kind, side):
    """For one image: all, and those of attention's two products alone."""
    with torch.device("meta"):  # shapes without numbers
        model = build(kind, side)
    set_fused_attention(model, False)
    counter = count(Classifier(model, {"image_size": [side, side], "channels": 3}, torch.device("meta")))
    products = counter.get_flop_counts()["Global"].get(torch.ops.aten.bmm, 0)
    return counter.get_total_flops() // 2, products // 2


def milliseconds(kind, side):
    """Processor time for one image on one core, the shortest of three."""
    model, x, times = build(kind, side), torch.randn(1, 3, side, side), []
    with torch.inference_mode():
        for _ in range(3):
            began = time.process_time()
            model(x)
            times.append(time.process_time() - began)
    return 1000 * min(times)


def growth(values):
    """The exponent p if cost grows as the number of pixels to the power p, from the smallest image to the largest."""
    return math.log(values[-1] / values[0]) / math.log((SIDES[-1] / SIDES[0]) ** 2)


counted = {kind: [multiply_adds(kind, side) for side in SIDES] for kind in COSTS}
took = {kind: [milliseconds(kind, side) for side in SIDES] for kind in COSTS}
grows, products_grow = {}, {}
print(f"at {', '.join(map(str, SIDES))} pixels")
for kind in COSTS:
    total, products = zip(*counted[kind], strict=True)
    grows[kind] = growth(total)
    products_grow[kind] = growth(products) if all(products) else math.nan
    print(f"{kind:20} {' '.join(f'{one / 1e9:5.2f}' for one in total)} G multiply-adds, pixels^{grows[kind]:.2f}")
    print(f"{'':20} {' '.join(f'{one:5.0f}' for one in took[kind])} ms, pixels^{growth(took[kind]):.2f}")


def draw(figure):
    axes = figure.subplots()
    for (kind, values), style in zip(took.items(), ("-", "--", "-.", ":"), strict=True):
        axes.plot(SIDES, values, style, marker="o", label=kind)
    axes.set(xscale="log", yscale="log", xlabel="side of the image [pixels]", ylabel="one image, one core [ms]")
    axes.set_xticks(SIDES, labels=map(str, SIDES))
    axes.minorticks_off()
    axes.legend(fontsize=9)


_ = show(draw, "Milliseconds for one image against its side in pixels for ViT, Swin and ConvNeXt, log scales.", 3.2)

# %% [markdown]
# Attention's two products, queries with keys and weights with values, grow with the pixels to the power
# {{ products_grow["ViT in stages"]:.2f }} in the ViT in stages, and {{ products_grow["Swin-T"]:.2f }} in Swin. All
# other layers work on each token alone and grow with the first power. So the whole Swin stays near 1, and the whole
# ViT lies between 1 and 2: {{ grows["ViT in stages"]:.2f }} up to here, more for larger images.

# %%
claim(
    "Liu et al. 2021 (Swin), equations 1 and 2",
    "attention over the whole image costs quadratically in its pixels, attention in windows linearly",
    f"attention's products grow as pixels^{products_grow['ViT in stages']:.2f} and "
    f"pixels^{products_grow['Swin-T']:.2f}, all multiply-adds as pixels^{grows['ViT in stages']:.2f} and "
    f"pixels^{grows['Swin-T']:.2f}",
    holds=products_grow["ViT in stages"] > 1.9 and products_grow["Swin-T"] < 1.15 and grows["Swin-T"] < 1.1,
)
at_full_size = {kind: (counted[kind][-1][0] / 1e9, took[kind][-1]) for kind in COSTS}
alike = [at_full_size[kind] for kind in ("ViT-S, patches of 16", "Swin-T", "ConvNeXt-T")]
slowest, fastest = (pick(ms for _, ms in alike) for pick in (max, min))
claim(
    "tutorials that compare models by FLOPs",
    "models with as many multiply-adds take as long",
    f"ViT-S, Swin-T and ConvNeXt-T have {min(g for g, _ in alike):.1f} to {max(g for g, _ in alike):.1f} G at "
    f"{SIDES[-1]} pixels and take {', '.join(f'{ms:.0f}' for _, ms in alike)} ms on one core",
    holds=slowest < 1.25 * fastest,
)

# %% [markdown]
# The plain ViT with large patches is the line to beat, and often forgotten: at 224 pixels it has 196 tokens, and
# their square is small beside the MLPs. Windows pay where small patches matter: finding, cutting out, large images.
#
# ## After training
#
# How far do tokens really look, in the stages of a trained model? Each of the four kinds learns digits for a short
# while. In the first stage a token is a pixel, in the second a square of 2x2. For each block with attention we
# take the mean attention distance (chapter 5), and beside it the distance when reading evenly what may be read.

# %%
STEPS = shortened(150, to=2)
plain = dict.fromkeys(recipe().augment.model_dump(), 0.0)
trained, scores = {}, {}
for kind in KINDS:
    trained[kind] = new(kind)
    _ = fit(trained[kind], data.train, recipe(augment=plain, optimizer="adamw"), STEPS)
    scores[kind] = accuracy(trained[kind], data.val)
    print(f"{kind:15} {trained[kind].parameter_count:7,} parameters; val {scores[kind]:.1%}")


def distances(model, x):
    """Per block with attention: its mean attention distance, and that of reading evenly, in pixels."""
    x, found = model.stem(x) + model.positions, []
    for stage, grid, pixels in zip(model.stages, (8, 4), (1, 2), strict=True):
        between = patch_distances((grid, grid), pixels)
        for layer in stage:
            if hasattr(layer, "attn"):
                map = layer.attn.attention_map(layer.norm1(x))  # (B, heads, N, N)
                even = (map > 0).float() / (map > 0).sum(dim=-1, keepdim=True)
                found.append([attention_distance(one[None], between).mean().item() for one in (map, even)])
            x = layer(x).detach()
    return torch.tensor(found)


far = {kind: distances(trained[kind].model, images) for kind in KINDS if kind != "ConvNeXt"}
for kind, by_block in far.items():
    print(f"{kind:15} {' '.join(f'{one:.2f}' for one in by_block[:, 0])} px in blocks 1 to 4")
    print(f"{'  evenly':15} {' '.join(f'{one:.2f}' for one in by_block[:, 1])} px")

# %% [markdown]
# A window bounds the distance: in the first block shifted windows read over {{ far["shifted windows"][0, 0]:.2f }} px,
# attention over the whole image over {{ far["whole image"][0, 0]:.2f }} px. Between the stages pixels become squares,
# and the same window of 2x2 tokens reaches twice as far. Near first and far later is *built in* here; in a ViT it must
# be learned (chapter 5).

# %%
CLEAR = 0.02
claim(
    "Liu et al. 2021 (Swin), table 4",
    "shifted windows are more accurate than windows that stay",
    f"val accuracy {scores['shifted windows']:.1%} with shifts and {scores['windows']:.1%} without; attention over the "
    f"whole image: {scores['whole image']:.1%}",
    holds=scores["shifted windows"] > scores["windows"] + CLEAR,
    at_any_size=False,
)
claim(
    "Liu et al. 2022 (ConvNeXt)",
    "a convolution in place of attention, on the same stages, does as well as Swin",
    f"val accuracy {scores['ConvNeXt']:.1%} against {scores['shifted windows']:.1%}",
    holds=scores["ConvNeXt"] > scores["shifted windows"] - CLEAR,
    at_any_size=False,
)

# %% [markdown]
# ## Exercises
#
# **1.** An image of 224 pixels in patches of 4 is a grid of 56x56 tokens, and a window has 7x7. The first block does
# not shift, the second shifts by 3, and so on, without stages. After how many blocks does the token in row and column
# 28, counted from 0, see the whole grid? And how many times as many products of queries with keys does attention over
# the whole grid compute, compared with windows? `check_1(blocks, times)`.


# %%
def check_1(blocks, times):
    first, end, number = 28, 29, 0  # the rows that reach it
    while first > 0 or end < 56:
        shift = 3 if number % 2 else 0
        first, end = (first - shift) // 7 * 7 + shift, -((shift - end) // 7) * 7 + shift
        number += 1
    assert blocks == number, "write down the rows that it sees after each block, beginning with 28 to 34"
    assert times == 56**4 / (64 * 49**2), "56x56 tokens; 64 windows of 49"
    print("correct: about a window per block, which is why Swin has stages")


# %% answer
check_1(9, 64)

# %% [markdown]
# **2.** Write `partition(x, side)`: a map of tokens (B, H, W, D) to its windows, (B, windows, side * side, D), row by
# row. H and W are multiples of `side`, and need not be equal.


# %%
def check_2(partition):
    x = torch.randn(2, 8, 8, 3)
    assert torch.equal(partition(x, 4), windows(x.reshape(2, 64, 3), 8, 4)), "compare with learn.windows"
    wide = torch.arange(8).reshape(1, 2, 4, 1)
    assert partition(wide, 2).squeeze().tolist() == [[0, 1, 4, 5], [2, 3, 6, 7]], "2 rows, 4 columns"
    print("correct")


# %% answer
def partition(x, side):
    B, H, W, D = x.shape
    x = x.reshape(B, H // side, side, W // side, side, D).transpose(2, 3)
    return x.reshape(B, -1, side * side, D)


check_2(partition)
