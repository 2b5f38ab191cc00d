# %% [markdown]
# # 2. Where is up?
#
# Chapter 1 cut an image into a sentence. But the transformer that reads it has no idea of order: attention treats
# its tokens as a *set*. Shuffle the patches of a face, and to the model it is still the same bag of eyes and ears.
#
# So every token gets a vector that depends on its place alone, a *position embedding*, added to what the patch looks
# like. In this chapter we take it away, compare two kinds, and look at what a model learns about space
# from nothing but labels.

# %%
import numpy as np
import torch

from learn.digits import digits, new_classifier
from learn.page import claim, shortened, show
from learn.training import accuracy, fit, recipe
from vit.data.batches import Packed
from vit.evaluation.attention import position_similarity
from vit.models.vision_transformer import sincos2d

data = digits()
GRID = (4, 4)  # digits of 8x8 pixels in patches of 2: 16 places
KINDS = ("learned", "sincos2d", "none")


def new(kind, seed):
    return new_classifier(
        seed, patch_size=2, embed_dim=64, depth=3, num_heads=4, mlp_ratio=2.0, pool="avg", pos_embed=kind
    )


untrained = new("learned", seed=0)
print("tokens per image:", untrained.model.embed(torch.zeros(1, 1, 8, 8)).shape)
print("positions:       ", untrained.model.pos_embed.shape)

# %% [markdown]
# The three kinds: *learned* starts as random numbers and is trained like a weight. *sincos2d* is fixed: sines and
# cosines of the row and of the column, in wavelengths from a few patches to thousands
# ([[vit.models.vision_transformer.sincos2d]]). *none* adds nothing. We train each with the same recipe, with two
# seeds, so that we do not take luck for a difference.

# %%
steps = shortened(300, to=4)
models = {}
for kind in KINDS:
    for seed in (0, 1):
        models[kind, seed] = new(kind, seed)
        _ = fit(models[kind, seed], data.train, recipe(seed=seed), steps)
scores = {kind: [accuracy(models[kind, seed], data.val) for seed in (0, 1)] for kind in KINDS}
for kind, pair in scores.items():
    print(f"{kind:9} val accuracy, seed 0: {pair[0]:.1%}, seed 1: {pair[1]:.1%}")

# %% [markdown]
# Without positions the model still gets {{ np.mean(scores["none"]):.0% }} right. How can it read digits as a bag of
# patches? A 1 has straight strokes, a 0 has curves, and the number of dark patches says a lot. That is worth knowing
# before one concludes from a good accuracy that a model "understands" shape.

# %%
mean = {kind: np.mean(pair) for kind, pair in scores.items()}
claim(
    "Dosovitskiy et al. 2020, appendix D.4",
    "no position embedding costs much, while the kinds of position embedding hardly differ",
    f"val accuracy {mean['none']:.1%} without, {mean['learned']:.1%} learned, {mean['sincos2d']:.1%} sine and cosine",
    holds=mean["none"] < min(mean["learned"], mean["sincos2d"]) - 0.02
    and abs(mean["learned"] - mean["sincos2d"]) < 0.02,
)

# %% [markdown]
# ## Shuffle the sentence
#
# Now the test that gives this chapter its name. We shuffle the 16 patches of every val image in one and
# the same way, and ask the trained models again. We also ask whether the logits moved at all.


# %%
def shuffled(images, order):
    """uint8 (B, 8, 8, 1) with the 2x2 patches in another order."""
    B = len(images)
    patches = images.reshape(B, 4, 2, 4, 2).permute(0, 1, 3, 2, 4).reshape(B, 16, 2, 2)[:, order]
    return patches.reshape(B, 4, 4, 2, 2).permute(0, 1, 3, 2, 4).reshape(B, 8, 8, 1)


order = torch.randperm(16, generator=torch.Generator().manual_seed(3))
torn = Packed(shuffled(data.val.images, order), data.val.labels)
after, moved = {}, {}
for kind in KINDS:
    model = models[kind, 0]
    after[kind] = accuracy(model, torn)
    moved[kind] = (model.logits(torn.images) - model.logits(data.val.images)).abs().max().item()
    print(f"{kind:9} {scores[kind][0]:.1%} -> {after[kind]:.1%}; largest change of a logit: {moved[kind]:.1e}")

# %%
claim(
    "tutorials; Vaswani et al. 2017, section 3.5",
    "without positions a transformer cannot tell the order of its tokens",
    f"shuffling patches changed no logit by more than {moved['none']:.0e} without positions, but accuracy from "
    f"{scores['learned'][0]:.0%} to {after['learned']:.0%} with learned ones",
    holds=moved["none"] < 1e-3 and after["learned"] < scores["learned"][0] - 0.2,
)

# %% [markdown]
# The model without positions gives the same logits up to rounding, as its sums run in another order. To the others
# the shuffled digits are nonsense.
#
# ## What it learned about space
#
# A learned embedding knows nothing at first: 16 vectors of random numbers. Nobody tells it that patch 5 lies below
# patch 1. Compare the vector of each place with those of all others, by the cosine of the angle between them, before
# and after training.

# %%
before = position_similarity(untrained.model, GRID)  # (rows, columns, rows, columns)
trained = position_similarity(models["learned", 0].model, GRID)
fixed = position_similarity(models["sincos2d", 0].model, GRID)
places = torch.cartesian_prod(torch.arange(4), torch.arange(4)).float()
apart = torch.cdist(places, places).flatten()
others = apart > 0  # a place is equal to itself, which says nothing


def follows_distance(similarity):
    """Correlation of similarity and distance over all pairs of places: -1 if near places are alike."""
    return np.corrcoef(similarity.flatten()[others], apart[others])[0, 1]


for name, similarity in (("before training", before), ("learned", trained), ("sincos2d", fixed)):
    print(f"{name:16} correlation of similarity with distance: {follows_distance(similarity):5.2f}")


def draw(figure):
    panels = figure.subplots(1, 3)
    titles = ("before", "learned", "sine, cosine")
    for axes, similarity, title in zip(panels, (before, trained, fixed), titles, strict=True):
        sheet = similarity.permute(0, 2, 1, 3).reshape(16, 16)  # a 4x4 map at each of the 4x4 places
        image = axes.imshow(sheet, cmap="RdBu_r", vmin=-1, vmax=1)
        for line in (3.5, 7.5, 11.5):
            axes.axhline(line, color="white", linewidth=3)
            axes.axvline(line, color="white", linewidth=3)
        axes.set(title=title, xticks=[], yticks=[])
    figure.colorbar(image, ax=panels, orientation="horizontal", label="cosine similarity", aspect=40)


_ = show(
    draw,
    "Three sheets of 4 by 4 small maps, one per place: how similar its position embedding is to that of each place. "
    "Learned embeddings resemble hardly any other place; sine and cosine resemble all, near ones most.",
    height=2.9,
)

# %%
claim(
    "Dosovitskiy et al. 2020, section 4.5 and figure 7",
    "the model learns to encode distance in the similarity of position embeddings",
    f"correlation of similarity with distance {follows_distance(before):.2f} before and "
    f"{follows_distance(trained):.2f} after training (sine and cosine: {follows_distance(fixed):.2f})",
    holds=follows_distance(trained) < follows_distance(before) - 0.2,
    at_any_size=False,
)

# %% [markdown]
# Each of the 16 small squares belongs to one place; red marks the places that it resembles. In the fixed embedding all
# places are much alike, and the nearer the more: a correlation of -1 with the distance. In the paper's figure the
# learned one follows distance, too. Ours does not, though shuffling has just proved that the model uses its positions:
# to tell 16 places apart one needs 16 different vectors, not a map. The paper's model had 196 places and millions of
# images to find out that neighbours are alike. [Look inside](../guides/look-inside.md) draws this sheet for your model.
#
# Adding positions also fixes the number of places: these models have 16. For a larger image one has to
# interpolate learned positions, while sine and cosine can be computed for any place.
#
# ## Exercises
#
# **1.** A model without positions cannot tell an image with shuffled patches from the original. Which of these changes
# of the 8x8 pixels can it not tell either? Give the set of their names, before you try them.


# %%
CHANGES = {
    "mirror": lambda images: images.flip(2),
    "upside down": lambda images: images.flip(1),
    "swap the left and the right half": lambda images: images.roll(4, dims=2),
    "move down by two rows, the last two to the top": lambda images: images.roll(2, dims=1),
    "move down by one row, the last to the top": lambda images: images.roll(1, dims=1),
    "turn by 90 degrees": lambda images: images.rot90(dims=(1, 2)),
}


def check_1(unnoticed):
    assert unnoticed <= CHANGES.keys(), f"the names are {list(CHANGES)}"
    model = models["none", 0]
    for name, change in CHANGES.items():
        moved = (model.logits(change(data.val.images)) - model.logits(data.val.images)).abs().max().item()
        assert (name in unnoticed) == (moved < 1e-3), f"{name}: the logits move by up to {moved:.1e}"
    print("correct: whole patches changed places. The others also move pixels within a patch, or from one to the next")


# %% answer
check_1({"swap the left and the right half", "move down by two rows, the last two to the top"})

# %% [markdown]
# **2.** Write `sincos1d(N, D)`: for places 0 to N-1 the sines of the place times D/2 frequencies, then the cosines,
# (N, D). Frequency number i, from 0, is 10000 to the power of -i / (D/2). The check then builds the 2-D embedding with
# your function: for each place that of its row, with half of the numbers, and then that of its column.


# %%
def check_2(sincos1d):
    rows, columns = torch.meshgrid(torch.arange(3), torch.arange(5), indexing="ij")
    of_rows, of_columns = sincos1d(3, 32), sincos1d(5, 32)
    ours = torch.cat([of_rows[rows.flatten()], of_columns[columns.flatten()]], dim=1)
    assert torch.allclose(ours, sincos2d((3, 5), 64), atol=1e-6)
    print("correct: equal to the project's sincos2d")


# %% answer
def sincos1d(N, D):
    angles = torch.arange(N)[:, None] * 10000 ** (-torch.arange(D // 2) / (D // 2))
    return torch.cat([angles.sin(), angles.cos()], dim=1)


check_2(sincos1d)
