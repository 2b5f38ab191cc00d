# %% [markdown]
# # 4. Every patch asks every patch
#
# Until now a token knew only its own patch and place. Attention is the step in which tokens read each other, and
# it is the only one: everything else in a ViT works on one token at a time.
#
# This chapter computes a whole Vision Transformer in NumPy, in a screen of code, with the weights of a
# model that PyTorch trained, and gets the same logits. Then it takes the attention apart: why the
# division by a square root, and what the *softmax* does, which turns any scores into shares that sum to 1.

# %%
import numpy as np
import torch
from scipy.special import erf

from learn.digits import digits, new_classifier
from learn.page import claim, shortened, show
from learn.training import accuracy, fit, recipe
from vit.data.batches import normalize, to_unit
from vit.evaluation.attention import attention_maps

D, HEADS, DEPTH, HIDDEN, P = 32, 2, 2, 64, 2  # width, heads, blocks, width of the MLP, patch size
data = digits()
classifier = new_classifier(
    patch_size=P, embed_dim=D, depth=DEPTH, num_heads=HEADS, mlp_ratio=2.0, norm="rmsnorm", pool="avg"
)
_ = fit(classifier, data.train, recipe(), steps=shortened(400, to=5))
print(f"trained: {accuracy(classifier, data.test):.1%} of {len(data.test)} test digits correct")

# %% [markdown]
# ## Count the parameters first
#
# Before running code you should know how large it is. An image of 8x8 pixels with patches of 2 is N = 16 tokens of
# 2x2x1 = 4 numbers. By hand:

# %%
N, pixels, classes = 16, P * P, 10
embedding = pixels * D + D  # a matrix and a bias
positions = N * D  # chapter 2
norm = D  # RMSNorm: one factor per feature
qkv = D * 3 * D + 3 * D  # query, key and value of all heads at once
projection = D * D + D
mlp = D * HIDDEN + HIDDEN + HIDDEN * D + D
block = norm + qkv + projection + norm + mlp
head = norm + D * classes + classes
by_hand = embedding + positions + DEPTH * block + head
print(f"{embedding} + {positions} + {DEPTH} x {block} + {head} = {by_hand}")
print(f"the model has {classifier.parameter_count}")
assert by_hand == classifier.parameter_count

# %% [markdown]
# Positions do not depend on the image, and attention has no weight per pair of tokens: all its parameters are in
# four matrices of D x D. The same block works for any number of tokens.
#
# ## The whole model in NumPy
#
# Read `attention` and `vit` first. What stands around attention, the norms, the MLP with its bent line `gelu`, and
# adding results to x, is chapter 6; here it is only needed to get the same numbers.

# %%
weights = {name: value.numpy() for name, value in classifier.model.state_dict().items()}


def linear(x, name):
    return x @ weights[f"{name}.weight"].reshape(-1, x.shape[-1]).T + weights[f"{name}.bias"]


def rmsnorm(x, name):
    return x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + 1e-6) * weights[f"{name}.weight"]


def softmax(scores):
    scores = np.exp(scores - scores.max(axis=-1, keepdims=True))  # the maximum cancels, and nothing overflows
    return scores / scores.sum(axis=-1, keepdims=True)


def gelu(x):
    return x * (1 + erf(x / np.sqrt(2))) / 2


def attention(x, name):
    qkv = linear(x, f"{name}.qkv").reshape(N, 3, HEADS, D // HEADS)
    q, k, v = qkv.transpose(1, 2, 0, 3)  # each (heads, N, D/heads)
    maps = softmax(q @ k.transpose(0, 2, 1) / np.sqrt(D // HEADS))  # (heads, N, N): row i is what token i reads
    mixed = (maps @ v).transpose(1, 0, 2).reshape(N, D)  # the heads side by side again
    return linear(mixed, f"{name}.proj"), maps


def embed(image):
    """One normalized image (8, 8) to its tokens (N, D)."""
    patches = image.reshape(4, P, 4, P).transpose(0, 2, 1, 3).reshape(N, P * P)  # chapter 1
    return linear(patches, "patch_embed.proj") + weights["pos_embed"][0]


def vit(image):
    """One normalized image (8, 8) to its logits (10,) and the attention of each block."""
    x, seen = embed(image), []
    for number in range(DEPTH):
        read, maps = attention(rmsnorm(x, f"blocks.{number}.norm1"), f"blocks.{number}.attn")
        x = x + read
        inner = gelu(linear(rmsnorm(x, f"blocks.{number}.norm2"), f"blocks.{number}.mlp.fc1"))
        x = x + linear(inner, f"blocks.{number}.mlp.fc2")
        seen.append(maps)
    return linear(rmsnorm(x.mean(axis=0), "fc_norm"), "head"), np.stack(seen)


x = normalize(to_unit(data.test.images), classifier.mean, classifier.std)  # (359, 1, 8, 8)
with torch.no_grad():
    theirs = classifier.model(x).numpy()
    their_maps = attention_maps(classifier.model, x).numpy()  # (blocks, images, heads, N, N)
ours, our_maps = zip(*(vit(image[0]) for image in x.numpy()), strict=True)
of_logits = np.abs(np.stack(ours) - theirs).max()
of_maps = np.abs(np.stack(our_maps, axis=1) - their_maps).max()
print("logits", np.stack(ours).shape, "maps", np.stack(our_maps, axis=1).shape)
print(f"largest difference from PyTorch: {of_logits:.1e} in the logits, {of_maps:.1e} in the attention")
assert of_logits < 1e-3 and of_maps < 1e-4

# %% [markdown]
# That is all of it: about forty lines. The project's own attention is
# [[vit.models.vision_transformer.Attention.forward]] and reads almost the same.
#
# Read `attention` again, slowly, for one head. Each token computes three vectors. Its *query* says what it looks for,
# its *key* what it offers, its *value* what it hands over. The dot product of a query with all keys gives 16 scores,
# the softmax turns them into shares that sum to 1, and the token receives the values mixed in these shares.

# %%
image, head = 4, 0
tokens = rmsnorm(embed(x[image, 0].numpy()), "blocks.0.norm1")
qkv = linear(tokens, "blocks.0.attn.qkv").reshape(N, 3, HEADS, D // HEADS)
q, k, v = qkv[:, :, head].transpose(1, 0, 2)  # each (N, D/heads)
scores = q[5] @ k.T / np.sqrt(D // HEADS)  # the token of patch 5 asks all 16
print("scores", scores.round(1))
print("shares", softmax(scores).round(2), "sum", softmax(scores).sum().round(6))
assert np.allclose(softmax(scores), their_maps[0, image, head, 5], atol=1e-4)

# %% [markdown]
# ## Why divide by the root?
#
# A query and a key with d random numbers of variance 1 have a dot product of variance d: a sum of d products, each
# of variance 1. Without the division, wide heads would have large scores, and the softmax of large scores
# picks one token and ignores the rest. Then its gradient vanishes, as the output no longer reacts to the
# scores. We measure all three with random vectors and 196 tokens.

# %%
rng = np.random.default_rng(0)
widths = (4, 16, 64, 256, 1024)
deviations, largest, reacts = [], {True: [], False: []}, {True: [], False: []}
for d in widths:
    q, k = rng.normal(size=(2, 196, d))
    scores = q @ k.T
    deviations.append(scores.std())
    for divided in (True, False):
        shares = softmax(scores / np.sqrt(d) if divided else scores)
        largest[divided].append(shares.max(axis=1).mean())
        reacts[divided].append((shares * (1 - shares)).sum(axis=1).mean())  # the sum of d share / d own score
    print(
        f"d = {d:4}: scores deviate by {deviations[-1]:5.1f} (root of d: {np.sqrt(d):4.1f}); largest share "
        f"{largest[True][-1]:.2f} divided, {largest[False][-1]:.2f} not; gradient {reacts[True][-1]:.2f}, "
        f"{reacts[False][-1]:.3f}"
    )


def draw(figure):
    axes = figure.subplots()
    axes.plot(widths, largest[False], "o-", color="C1")
    axes.plot(widths, largest[True], "o-", color="C0")
    axes.annotate("q·k", (widths[2], largest[False][2]), xytext=(-12, 8), textcoords="offset points", ha="right")
    axes.annotate("q·k / √d", (widths[2], largest[True][2]), xytext=(0, 10), textcoords="offset points")
    axes.set(xscale="log", ylim=(0, 1), xlabel="width of a head, d", ylabel="largest of 196 shares")
    axes.set_xticks(widths, [str(d) for d in widths], minor=False)
    axes.minorticks_off()


_ = show(draw, "Without division the largest attention share approaches 1 as heads get wider; divided, it stays small.")

claim(
    "Vaswani et al. 2017, section 3.2.1",
    "for large d dot products grow and push the softmax into regions with extremely small gradients",
    f"from d = 4 to 1024 the deviation of the scores grew from {deviations[0]:.0f} to {deviations[-1]:.0f}, and the "
    f"softmax's gradient shrank to {reacts[False][-1] / reacts[False][0]:.0%}; divided by the root it stayed at "
    f"{reacts[True][-1] / reacts[True][0]:.0%}",
    holds=reacts[False][-1] < 0.5 * reacts[False][0] and reacts[True][-1] > 0.9 * reacts[True][0],
)

# %% [markdown]
# ## Does a small model need it?
#
# These were random vectors. Whether a *training* suffers is another question. Multiplying the first query weights by
# the root of d undoes the division at the start. We train one head of width 64 both ways, for a few hundred steps.


# %%
def trained_from(factor):
    other = new_classifier(patch_size=P, embed_dim=64, depth=2, num_heads=1, mlp_ratio=2.0, pool="avg")
    with torch.no_grad():
        for block in other.model.blocks:
            block.attn.qkv.weight[:64] *= factor
    losses = fit(other, data.train, recipe(), steps=shortened(200, to=5))
    return accuracy(other, data.val), np.mean(losses[-20:])


divided, undivided = trained_from(1), trained_from(64**0.5)
print(f"divided:   {divided[0]:.1%} of val correct, train loss {divided[1]:.3f}")
print(f"undivided: {undivided[0]:.1%} of val correct, train loss {undivided[1]:.3f}")
claim(
    "tutorials",
    "without dividing by the root of d, training suffers",
    f"{divided[0]:.1%} of val correct when divided, {undivided[0]:.1%} when not (d = 64, 2 blocks, 200 steps)",
    holds=undivided[0] < divided[0] - 0.02,
    at_any_size=False,
)

# %% [markdown]
# ## Temperature
#
# Dividing all scores by a number T before the softmax is called a temperature. T below 1 sharpens, above 1 flattens.
# The root of d is nothing but a fixed temperature. In the trained model we can turn it and see how much the
# predictions depend on it.

# %%
trained = {name: value.clone() for name, value in classifier.model.state_dict().items()}
entropies, by_temperature = {}, {}
for T in (0.01, 0.1, 0.5, 1, 2, 10, 100):
    with torch.no_grad():
        for number, one in enumerate(classifier.model.blocks):
            one.attn.qkv.weight[:D] = trained[f"blocks.{number}.attn.qkv.weight"][:D] / T
            one.attn.qkv.bias[:D] = trained[f"blocks.{number}.attn.qkv.bias"][:D] / T
    maps = attention_maps(classifier.model, x).numpy()
    entropies[T] = np.exp(-(maps * np.log(maps + 1e-12)).sum(axis=-1)).mean()
    by_temperature[T] = accuracy(classifier, data.val)
    print(f"T = {T:6}: a token reads as if from {entropies[T]:4.1f} of 16; {by_temperature[T]:.1%} of val correct")
_ = classifier.model.load_state_dict(trained)

# %% [markdown]
# The middle column is the exponential of the entropy: {{ entropies[1]:.1f }} means that the shares are spread as if
# over {{ entropies[1]:.1f }} equally read tokens. At T = 100 every token reads the average of all:
# attention still mixes, but no longer chooses, and {{ by_temperature[100]:.0% }} of val are correct instead of
# {{ by_temperature[1]:.0% }}.
#
# ## Exercises
#
# **1.** ViT-B/16 has D = 768, 12 blocks, 12 heads, an MLP of 3,072, 1,000 classes, 196 patches of 16x16x3 pixels, a
# class token (one more vector and one more position) and LayerNorm, which has a factor *and* a bias per feature,
# before attention, before the MLP and once at the end. How many parameters? Give an integer.


# %%
def check_1(count):
    from vit.evaluation.walk import b16_config
    from vit.inference.summary import without_memory

    config = b16_config()
    config["model"]["pool"] = "cls"
    real = without_memory(config).parameter_count  # built without memory for its weights
    assert count == real, f"{count:,} is not what the project's own ViT-B/16 has"
    print(f"correct: {real:,}")


# %% answer
d = 768
one_block = 2 * d + (d * 3 * d + 3 * d) + (d * d + d) + 2 * d + (d * 3072 + 3072 + 3072 * d + d)
check_1((16 * 16 * 3 * d + d) + d + 197 * d + 12 * one_block + 2 * d + (d * 1000 + 1000))

# %% [markdown]
# **2.** Softmax ignores a constant: adding 7 to all scores changes nothing. So one of the three biases, of
# query, key or value, changes nothing at all, neither a map nor a logit. Which? Find it by thinking, or by changing
# biases of the trained model, and give its name.


# %%
def check_2(name):
    start = {"query": 0, "key": D, "value": 2 * D}[name]
    before = attention_maps(classifier.model, x[:20])[0]
    with torch.no_grad():
        classifier.model.blocks[0].attn.qkv.bias[start : start + D] += 1
    after = attention_maps(classifier.model, x[:20])
    changed = classifier.model(x[:20]).detach()
    _ = classifier.model.load_state_dict(trained)
    assert torch.allclose(before, after[0], atol=1e-5), f"the {name} bias changes the map of its own block"
    same = torch.allclose(changed, classifier.model(x[:20]).detach(), atol=1e-3)
    assert same, f"the {name} bias changes no map of its block, but the logits"
    print("correct: q (k + b) = q k + q b, and q b is the same for all keys")


# %% answer
check_2("key")
