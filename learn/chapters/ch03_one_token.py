# %% [markdown]
# # 3. One token for all
#
# After the last block an image is still a row of tokens, one per patch. A classifier wants *one* vector. Who
# speaks for the image?
#
# There are two common answers. Average the patch tokens. Or add one more token at the start, which belongs to no
# patch: the *class token*. It begins as the same vector for every image, collects what it needs by attention, and
# only it reaches the *head*, the last layer, which turns a vector into ten scores, the logits. We train both, and watch
# whom the class token listens to as training goes on.

# %%
import numpy as np

from learn.digits import digits, new_classifier
from learn.page import claim, shortened, show
from learn.training import accuracy, fit, recipe
from vit.evaluation.attention import attention_maps, pooled
from vit.evaluation.explain import model_input

data = digits()


def new(pool, seed):
    return new_classifier(seed, patch_size=2, embed_dim=64, depth=3, num_heads=4, mlp_ratio=2.0, pool=pool)


classifier = new("cls", seed=0)
images = model_input(classifier, data.val.images)
print("images              ", tuple(images.shape))
print("patch tokens        ", tuple(classifier.model.patch_embed(images).shape))
print("with the class token", tuple(classifier.model.embed(images).shape))
print("what the head reads ", tuple(classifier.model.embed(images)[:, 0].shape))

# %% [markdown]
# In code this is a `cat` at the start and an index at the end:
# [[vit.models.vision_transformer.VisionTransformer.embed]] and
# [[vit.models.vision_transformer.VisionTransformer._pooled]].
#
# ## Watch it learn to listen
#
# How attention is computed is chapter 4. Here we need only its result: a table with a row per token, whose 17 shares
# sum to 1 and say how much the token takes from each other one. A block has several such tables. Confusingly, these
# are called *heads*, too; chapter 5 is about them, and here we average them. Row 0 is the class token's. Its 16 entries
# for patches form a small picture. We keep it at several moments of the training, over all val images, and
# ask two things. Over how many patches is its attention spread? (The exponential of the entropy: 16 if it reads all
# patches evenly, 1 if it reads a single one.) And how much of it falls on *ink*: on the half of the patches of each
# digit that are brightest?

# %%
MOMENTS = [0, 30, 100, 250, shortened(500, to=4)]
ink = data.val.images.float().reshape(-1, 4, 2, 4, 2).mean(dim=(2, 4)).flatten(1)  # (B, 16), per patch
brightest = ink.argsort(dim=1).argsort(dim=1) >= 8  # the half of its patches with most ink
heard, correct = {}, {}


def listen(step):
    if step in MOMENTS:
        classifier.model.eval()
        maps = attention_maps(classifier.model, images)[-1].mean(dim=1)  # the last block, mean of heads: (B, 17, 17)
        read = pooled(maps, classifier.model)  # (B, 16)
        heard[step] = read / read.sum(dim=1, keepdim=True)
        correct[step] = accuracy(classifier, data.val)


_ = fit(classifier, data.train, recipe(), MOMENTS[-1], watch=listen)
on_ink, spread = {}, {}
for step, read in heard.items():
    on_ink[step] = (read * brightest).sum(dim=1).mean().item()
    spread[step] = (-(read * read.clamp(min=1e-9).log()).sum(dim=1)).exp().mean().item()
    print(
        f"step {step:3}: {correct[step]:5.1%} of val correct, {on_ink[step]:.0%} of the attention on the inked half, "
        f"spread over {spread[step]:.1f} of 16 patches"
    )


# %%
def draw(figure):
    rows = figure.subplots(3, len(heard) + 1)
    for row, number in zip(rows, (0, 3, 7), strict=True):
        index = int((data.val.labels == number).nonzero()[1])
        row[0].imshow(data.val.images[index, ..., 0], cmap="gray")
        for axes, (step, read) in zip(row[1:], heard.items(), strict=True):
            axes.imshow(read[index].reshape(4, 4), cmap="inferno", vmin=0, vmax=0.25)
            if number == 0:
                axes.set_title(f"step\n{step}" if step == 0 else f"\n{step}")
        for axes in row:
            axes.set(xticks=[], yticks=[])
    rows[0, 0].set_title("digit\n")


_ = show(
    draw,
    "Three digits, and where the class token of the last block reads at five moments of training: evenly at first, "
    "then at fewer patches.",
    height=3.2,
)

# %%
first, last = min(heard), max(heard)
claim(
    "tutorials",
    "attention starts out uniform and training focuses it on the object",
    f"spread over {spread[first]:.1f} of 16 patches at the start and {spread[last]:.1f} at the end; share on the "
    f"inked half {on_ink[first]:.0%} and {on_ink[last]:.0%}",
    holds=spread[first] > 15 and spread[last] < 14 and on_ink[last] > on_ink[first] + 0.05,
)

# %% [markdown]
# Attention becomes selective, and it prefers ink. But {{ 1 - on_ink[last]:.0% }} of it still falls on the half with
# less ink: an empty patch says something too, for example that there is a hole, as in a 0. And a map of attention shows
# what was read, not why. Chapter 15 takes that apart.
#
# ## Which is better?
#
# Same recipe, two seeds each.

# %%
scores = {}
for pool in ("cls", "avg"):
    for seed in (0, 1):
        other = new(pool, seed)
        _ = fit(other, data.train, recipe(seed=seed), steps=shortened(250, to=4))
        scores.setdefault(pool, []).append(accuracy(other, data.val))
    print(f"{pool}: {', '.join(f'{score:.1%}' for score in scores[pool])} of {len(data.val)} val images")

difference = 100 * (np.mean(scores["avg"]) - np.mean(scores["cls"]))
claim(
    "Dosovitskiy et al. 2020, appendix D.3",
    "a class token and global average pooling perform similarly, given a suitable learning rate for each",
    f"average pooling is {difference:+.1f} points from the class token, at one learning rate for both",
    holds=abs(difference) < 1.5,
)

# %% [markdown]
# With {{ len(data.val) }} val images one image is {{ 100 / len(data.val):.1f }} points, so take small
# differences for noise. The class token is one more vector; it costs 1/16 more tokens here and 1/196 at 224 pixels. The
# preset of this project averages.
#
# ## Exercises
#
# **1.** The class token starts as one learned vector without any image in it. From where on do the class tokens of two
# images differ? Write `differences(model, pair)` for two normalized images (2, 1, 8, 8). It returns a list: the largest
# difference between their class tokens after the embedding, and then after each block. Guess the first number before
# you run it.


# %%
def check_1(differences):
    for pair in (images[:2], images[[4, 9]]):
        found, x = differences(classifier.model, pair), classifier.model.embed(pair)
        assert len(found) == 1 + len(classifier.model.blocks), "one number after the embedding, and one for each block"
        assert found[0] == 0, "after the embedding: no image has got into the class token yet"
        for number, block in enumerate(classifier.model.blocks, 1):
            x = block(x)
            apart = (x[0, 0] - x[1, 0]).abs().max().item()
            assert abs(float(found[number]) - apart) < 1e-5, f"after block {number} they differ by {apart:.3f}"
    print("correct: attention brings the first news from the patches in block 1")


# %% answer
def differences(model, pair):
    x = model.embed(pair)
    found = [(x[0, 0] - x[1, 0]).abs().max().item()]
    for block in model.blocks:
        x = block(x)
        found.append((x[0, 0] - x[1, 0]).abs().max().item())
    return found


check_1(differences)

# %% [markdown]
# **2.** Some ViTs have *register tokens*: more tokens like the class token, which nobody reads at the end. Write
# `with_registers(classifier, count)` that returns an untrained model like `classifier` but with `count` of them, and
# look at the shape of its attention maps. (The section `model` of params.yaml has a key for it, and
# `classifier.config["model"]` holds what `classifier` was built with.)


# %%
def check_2(with_registers):
    for count in (1, 4):
        other, N = with_registers(classifier, count), 1 + count + 16
        maps = attention_maps(other.model, images[:1])
        assert maps.shape == (3, 1, 4, N, N), f"maps are {tuple(maps.shape)}: blocks, images, heads, tokens, tokens"
        assert other.model.reg_token.shape == (1, count, 64), f"{count} registers of width 64, beside the class token"
        assert other.model(images[:1]).shape == (1, 10)
    print("correct: 1 class token, 4 registers and 16 patches")


# %% answer
def with_registers(classifier, count):
    return new_classifier(**classifier.config["model"] | {"reg_tokens": count})


check_2(with_registers)
