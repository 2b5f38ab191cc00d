# %% [markdown]
# # 5. Many heads, many readings
#
# One attention map can only say one thing: how much token i reads of token j. But a stroke of a digit has to be
# compared with its neighbour *and* with its far end. So a block has several heads. Each has its own queries, keys and
# values, in a slice of the width, and so its own map.
#
# Two sentences about heads are repeated everywhere. *Early blocks look near, late blocks look far.* And: *most heads
# can be removed.* We measure both on a model that we train here.

# %%
import numpy as np
import torch

from learn.digits import digits, new_classifier
from learn.page import claim, shortened, show
from learn.training import accuracy, fit, recipe
from vit.data.batches import Packed
from vit.evaluation.attention import attention_distance, attention_maps, patch_distances
from vit.evaluation.explain import model_input

data = digits()
DEPTH, HEADS, WIDTH = 6, 4, 64
SHAPE = {"embed_dim": WIDTH, "depth": DEPTH, "num_heads": HEADS, "mlp_ratio": 2.0, "pool": "avg"}
classifier = new_classifier(patch_size=2, **SHAPE)
untrained = new_classifier(patch_size=2, **SHAPE)
plain = dict.fromkeys(recipe().augment.model_dump(), 0.0)  # no augmentation: a short training is enough here
_ = fit(classifier, data.train, recipe(augment=plain), steps=shortened(500, to=3))
count = shortened(len(data.val), to=20)
val = Packed(data.val.images[:count], data.val.labels[:count])
whole = accuracy(classifier, val)
print(f"val accuracy {whole:.1%}")

# %% [markdown]
# A digit of 8x8 pixels is a sentence of 16 patches, and the model reads it in {{ DEPTH }} blocks with {{ HEADS }} heads
# of {{ WIDTH // HEADS }} numbers each.
#
# ## How far does a head look?
#
# Take a token, measure the distance in pixels from its patch to every other, and average them with its attention as
# weights. Averaged over all tokens and images this is the head's *mean attention distance*
# ([[vit.evaluation.attention.attention_distance]]). If a head read all patches evenly, it would have
# the mean distance between any two patches. That is the line to compare with.

# %%
images = model_input(classifier, val.images)
between = patch_distances((4, 4), patch_size=2)  # (16, 16), pixels
even = between.mean().item()
maps = attention_maps(classifier.model, images)  # (blocks, images, heads, 16, 16)
distance = attention_distance(maps, between)  # (blocks, heads)
at_start = attention_distance(attention_maps(untrained.model, images), between)
print("maps", tuple(maps.shape))
print(f"reading evenly: {even:.2f} px; untrained heads: {at_start.min():.2f} to {at_start.max():.2f} px")
for number, heads in enumerate(distance.tolist(), 1):
    print(f"block {number}: {' '.join(f'{head:.2f}' for head in sorted(heads))} px, mean {np.mean(heads):.2f}")


def draw(figure):
    axes = figure.subplots()
    for number, heads in enumerate(distance, 1):
        axes.plot([number] * HEADS, heads, "o", color="C0", markersize=8)
    axes.plot(range(1, DEPTH + 1), distance.mean(dim=1), color="C1", label="mean of a block")
    axes.axhline(even, linestyle=":", color="C2", label="reading evenly")
    axes.set(xlabel="block", ylabel="mean distance, pixels", ylim=(0, 5.2))
    axes.legend(loc="lower right")


_ = show(draw, "Mean attention distance of each head by block, beside the mean of the block and even reading.")

# %%
by_block = distance.mean(dim=1)
slope = np.corrcoef(range(DEPTH), by_block)[0, 1]
claim(
    "Dosovitskiy et al. 2020, section 4.5",
    "attention distance increases with depth: local early, global late",
    f"mean distance {', '.join(f'{value:.1f}' for value in by_block)} px from the first to the last block (reading "
    f"evenly: {even:.1f}); correlation with depth {slope:+.2f}",
    holds=slope > 0.5 and by_block[-1] > by_block[0] + 0.3,
    at_any_size=False,
)
claim(
    "Dosovitskiy et al. 2020, section 4.5",
    "some heads attend to most of the image already in the lowest layers",
    f"the widest head of the first block looks {distance[0].max():.1f} px far, {distance[0].max() / even:.0%} of even "
    "reading",
    holds=distance[0].max().item() > 0.85 * even,
)

# %% [markdown]
# The second claim is true here, but no discovery: every head of this small model is within half a pixel of even
# reading, and so were the untrained ones. Training changed *what* the heads read, hardly how far away. The paper's
# model had 24 blocks and 14 million images or more; ours has {{ DEPTH }} and {{ len(data.train) }}. That a sentence is
# true of ViT-L/16 does not make it true of the model on your desk, and the measurement is one line.
#
# ## Switch a head off
#
# The heads' results lie side by side in one vector, and the projection after them mixes them. So a head is
# switched off by setting its columns of that matrix to zero. No retraining: we only ask how many val images are lost.


# %%
def without_heads(chosen):
    """Val accuracy with these (block, head) switched off."""
    kept = {name: value.clone() for name, value in classifier.model.state_dict().items()}
    size = WIDTH // HEADS
    with torch.no_grad():
        for block, head in chosen:
            classifier.model.blocks[block].attn.proj.weight[:, head * size : (head + 1) * size] = 0
    score = accuracy(classifier, val)
    classifier.model.load_state_dict(kept)
    return score


loss = np.array([[whole - without_heads([(block, head)]) for head in range(HEADS)] for block in range(DEPTH)])
print("points of accuracy lost without one head; rows are blocks")
print((100 * loss).round(1))
spare = int((loss < 0.01).sum())
worst = np.unravel_index(loss.argmax(), loss.shape)

# %% [markdown]
# {{ spare }} of {{ DEPTH * HEADS }} heads cost less than a point each. The most important one, head
# {{ worst[1] + 1 }} of block {{ worst[0] + 1 }}, costs {{ 100 * loss.max():.1f }} points. But "each can be
# spared" does not mean "all can be spared". Switch them off one after the other, the least important first:

# %%
ranking = [tuple(divmod(int(index), HEADS)) for index in loss.flatten().argsort()]
curve = {count: without_heads(ranking[:count]) for count in range(0, DEPTH * HEADS + 1, 3)}
for count, score in curve.items():
    print(f"{count:2} heads off: {score:.1%}")
most = max(count for count, score in curve.items() if score > whole - 0.02)
claim(
    "Michel et al. 2019, for language",
    "most heads can be removed from a trained model without a noticeable loss",
    f"{spare} of {DEPTH * HEADS} heads cost less than a point when removed alone; removed together, the {most} least "
    f"important ones cost less than 2 points, and half of all {100 * (whole - curve[12]):.0f} points",
    holds=most >= DEPTH * HEADS / 2,
    at_any_size=False,
)

# %% [markdown]
# ## Exercises
#
# **1.** The model above has {{ HEADS }} heads. What would change in its number of parameters with 1 head, or with 16?
# Guess, then build both (`SHAPE` holds all other settings) and count: `check_1(with 1 head, with 16 heads)`.


# %%
def check_1(one, sixteen):
    for heads, count in ((1, one), (16, sixteen)):
        real = new_classifier(patch_size=2, **SHAPE | {"num_heads": heads}).parameter_count
        assert count == real, f"with {heads} heads the model has {real} parameters"
    print("correct: heads divide the width, they do not add to it")


# %% answer
check_1(classifier.parameter_count, classifier.parameter_count)

# %% [markdown]
# **2.** Write `mean_distance(map, between)` for a single map (N, N) whose rows sum to 1: the mean over tokens of the
# attention-weighted distance.


# %%
def check_2(mean_distance):
    one = maps[0, :1, 1:2][None]  # a single block, image and head
    assert abs(float(mean_distance(one[0, 0, 0], between)) - attention_distance(one, between).item()) < 1e-4
    assert abs(float(mean_distance(torch.eye(16), between))) < 1e-6, "a token that reads itself looks 0 px far"
    print("correct")


# %% answer
def mean_distance(map, between):
    return (map * between).sum(dim=1).mean()


check_2(mean_distance)
