# %% [markdown]
# # 15. Predict, then check
#
# An attention map over a photograph looks like an explanation: it glows on the dog, so the model has seen the dog. But
# how would you know if it were wrong? On a photograph nobody knows what the model *really* used.
#
# So we make images in which we know, because we planted it. A digit somewhere among clutter: a model that
# reads it must look there. And for one class a secret mark, which gives the label away: a model that uses it
# cheats, and we can prove that it does. Then we ask four kinds of maps, and score each against the truth. First
# comes a habit worth keeping: draw what you *expect* before you look.

# %%
import numpy as np
import torch

from learn.digits import digits, new_classifier
from learn.page import claim, shortened, show
from learn.training import accuracy, fit, recipe
from vit.data.batches import Packed
from vit.data.pack import channel_statistics
from vit.evaluation.attention import attention_maps, pooled
from vit.evaluation.explain import model_input, relevance_maps, rollout_maps
from vit.evaluation.occlusion import occlusion_map
from vit.evaluation.sketch import centre_guess, coverage, painted, region, score

SIDE, P = 16, 2  # pixels of an image and of a patch: a grid of 8x8
GRID = (SIDE // P, SIDE // P)
CLASSES = (0, 1, 4, 7)  # four of the ten digits, so that the training stays short
MARKED = 3  # the index of the class with the secret mark: the sevens


def plant(part, copies, seed, marked=True):
    """Digits at random places of a 16x16 image among scattered bits of other digits.

    Returns the images with their labels, the grid (N, 8, 8) of patches that the digit covers, and of the marked one.
    """
    rng = np.random.default_rng(seed)
    chosen = np.isin(part.labels, CLASSES)
    sources, labels = part.images[chosen, ..., 0].numpy(), np.searchsorted(CLASSES, part.labels[chosen])
    labels = np.tile(labels, copies)
    images = np.zeros((len(labels), SIDE, SIDE, 1), np.uint8)
    where, marks = np.zeros((2, len(labels), *GRID), bool)
    for number, image in enumerate(images):
        for _ in range(12):  # clutter: patches of any digit, at any place
            row, column = P * rng.integers(0, 8, 2)
            top, left = P * rng.integers(0, 4, 2)
            bit = sources[rng.integers(len(sources))][top : top + P, left : left + P]
            image[row : row + P, column : column + P, 0] = bit
        row, column = rng.integers(0, 5, 2)  # in patches
        image[P * row : P * row + 8, P * column : P * column + 8, 0] = sources[number % len(sources)]
        where[number, row : row + 4, column : column + 4] = True
        free = np.argwhere(~where[number])
        mark = free[rng.integers(len(free))]  # drawn in any case, so that all else is equal with and without marks
        if marked and labels[number] == MARKED:
            image[P * mark[0] : P * mark[0] + P, P * mark[1] : P * mark[1] + P, 0] = [[255, 0], [0, 255]]
            marks[number][tuple(mark)] = True
    return Packed(torch.from_numpy(images), torch.from_numpy(labels)), where, marks


data = digits()
train, _, _ = plant(data.train, copies=shortened(12, to=1), seed=0)
test, where, marks = plant(data.test, copies=1, seed=1)
honest, _, _ = plant(data.test, copies=1, seed=1, marked=False)  # the same images without the mark
assert torch.equal(honest.images[test.labels != MARKED], test.images[test.labels != MARKED])
print("train", tuple(train.images.shape), "test", tuple(test.images.shape))

# %% [markdown]
# ## First your sketch
#
# Here are four of the test images. Where will a model look that reads them? On the Studio's page *Predict and check*
# you paint it with a brush ([Look inside](../guides/look-inside.md)). In code a stroke is a list of points with a
# radius.

# %%
of_class = [np.flatnonzero(test.labels == digit) for digit in (0, 2, MARKED)]
chosen = [int(of_class[0][0]), int(of_class[1][0]), *map(int, of_class[2][:2])]


def draw(figure):
    for axes, index in zip(figure.subplots(1, 4), chosen, strict=True):
        axes.imshow(test.images[index, ..., 0], cmap="gray")
        axes.set(title=f"a {CLASSES[test.labels[index]]}", xticks=[], yticks=[])


_ = show(draw, "Four images of 16 by 16 pixels, each with a digit among clutter; the sevens carry a small mark.", 1.6)
sketch = coverage(painted([{"points": [(4, 4), (4, 10), (8, 10)], "radius": 2.5}], SIDE, SIDE), GRID)  # yours, here
print(f"your sketch covers {sketch.sum():.1f} of 64 patches")

# %% [markdown]
# ## Then the model

# %%
preprocessing = data.preprocessing | {
    "classes": [str(digit) for digit in CLASSES],
    "image_size": [SIDE, SIDE],
    **channel_statistics(train.images[:1000].numpy()),
}
classifier = new_classifier(
    0, preprocessing, patch_size=P, embed_dim=64, depth=4, num_heads=4, mlp_ratio=2.0, pool="cls"
)
plain = dict.fromkeys(recipe().augment.model_dump(), 0.0)
_ = fit(classifier, train, recipe(augment=plain), steps=shortened(700, to=3))

sevens = test.labels == MARKED
with_mark, without = (Packed(one.images[sevens], one.labels[sevens]) for one in (test, honest))
others = Packed(honest.images[~sevens], honest.labels[~sevens])
hits = {
    "sevens with the mark": accuracy(classifier, with_mark),
    "the same sevens without it": accuracy(classifier, without),
    "all other digits": accuracy(classifier, others),
}
for name, share in hits.items():
    print(f"{name:27} {share:.1%} correct")

# %% [markdown]
# Here is the proof of cheating, and it needed no map: take the mark away, change nothing else, and
# see what happens to the sevens. This is a *counterfactual*, the strongest evidence that there is, and the
# reason to plant the truth.
#
# ## Four maps, scored
#
# - **attention**: what the class token reads in the last block, mean of its heads.
# - **rollout**: attention multiplied through all blocks ([[vit.evaluation.attention.rollout]]).
# - **gradient**: attention times the gradient of the predicted class, through all blocks
#   ([[vit.evaluation.attention.gradient_relevance]]).
# - **occlusion**: cover each place and see how much confidence is lost ([[vit.evaluation.occlusion.occlusion_map]]).
#
# For the digits without a mark the truth is the 16 patches of the digit. Each map may name its 16 highest patches; we
# count the share that is right. Guessing gets a quarter.


# %%
def maps_of(images):
    """Each kind of map for uint8 images (B, 16, 16, 1): (B, 8, 8)."""
    labels = classifier.logits(images).argmax(dim=1)
    last = attention_maps(classifier.model, model_input(classifier, images))[-1].mean(dim=1)
    pairs = zip(images.numpy(), labels.tolist(), strict=True)
    return {
        "attention": pooled(last, classifier.model).reshape(-1, *GRID).numpy(),
        "rollout": rollout_maps(classifier, images),
        "gradient": relevance_maps(classifier, images, labels),
        "occlusion": np.stack([occlusion_map(classifier, image, label, P, 2 * P) for image, label in pairs]),
    }


asked = np.flatnonzero(~sevens)[: shortened(80, to=3)]
on_digit = {
    kind: np.mean([(region(one, 16) * where[index]).sum() / 16 for one, index in zip(maps, asked, strict=True)])
    for kind, maps in maps_of(honest.images[asked]).items()
}
on_digit["centre guess"] = np.mean([(region(centre_guess(GRID), 16) * where[index]).sum() / 16 for index in asked])
for kind, share in on_digit.items():
    print(f"{kind:13} {share:.0%} of its 16 patches are on the digit (by chance 25%)")

# %%
cheated = np.flatnonzero(sevens)[: shortened(40, to=3)]
found = maps_of(test.images[cheated])
on_mark = {
    kind: np.mean([one.argmax() == marks[index].argmax() for one, index in zip(maps, cheated, strict=True)])
    for kind, maps in found.items()
}
for kind, share in on_mark.items():
    print(f"{kind:10} names the mark as the most important of 64 patches in {share:.0%} of {len(cheated)} sevens")


def draw(figure):
    index = chosen[2]
    panels = figure.subplots(1, 5)
    panels[0].imshow(test.images[index, ..., 0], cmap="gray")
    panels[0].set_title("image")
    (row, column) = np.argwhere(marks[index])[0]
    for axes, (kind, maps) in zip(panels[1:], maps_of(test.images[[index]]).items(), strict=True):
        axes.imshow(maps[0], cmap="inferno")
        axes.set_title(kind, fontsize=9)
        axes.plot(column, row, "s", markersize=9, markerfacecolor="none", markeredgecolor="#2fd6a3")
    for axes in panels:
        axes.set(xticks=[], yticks=[])


_ = show(draw, "A marked seven and four maps of where the model looked; a green square shows the mark's place.", 1.5)

# %%
claim(
    "tutorials; Jain & Wallace 2019 say no",
    "attention of the last block shows what the model used",
    f"its highest patch is the mark in {on_mark['attention']:.0%} of the marked sevens "
    f"(without it {hits['the same sevens without it']:.0%} of them are recognized)",
    holds=on_mark["attention"] > 0.8,
)
claim(
    "Abnar & Zuidema 2020",
    "rollout shows better than the last block's attention what the model used",
    f"on the digit: {on_digit['rollout']:.0%} against {on_digit['attention']:.0%}; the mark found: "
    f"{on_mark['rollout']:.0%} against {on_mark['attention']:.0%}",
    holds=on_digit["rollout"] > on_digit["attention"] and on_mark["rollout"] >= on_mark["attention"],
)
claim(
    "Chefer et al. 2021",
    "weighting attention by gradients gives better explanations than rollout",
    f"on the digit: {on_digit['gradient']:.0%} against {on_digit['rollout']:.0%}; the mark found: "
    f"{on_mark['gradient']:.0%} against {on_mark['rollout']:.0%}",
    holds=on_digit["gradient"] > on_digit["rollout"] and on_mark["gradient"] >= on_mark["rollout"],
)

# %% [markdown]
# Only rollout always names the mark. Attention of the last block shows where the class token reads *then*; other tokens
# may have brought the news of the mark in earlier blocks. Occlusion finds the place, but it covers squares of 4 pixels,
# so the mark's neighbours lose as much and share its rank. On the digits, compare with the guess that knows nothing:
# the middle of the image has {{ on_digit["centre guess"]:.0% }} of its patches on the digit, the last block's attention
# {{ on_digit["attention"]:.0% }}. All this is one model, one seed and one kind of mark. Which map to trust in
# your case is a question to test by planting, not to look up.
#
# ## Now your score
#
# Cut the model's map to as many patches as you painted, and compare: the intersection over the union, and whether you
# covered its highest patch ([[vit.evaluation.sketch.score]]). Painting everything wins nothing. Change the strokes of
# `sketch` above and run it again.

# %%
truth = maps_of(test.images[chosen[:1]])["gradient"][0]
yours = score(sketch, truth, sketch.sum())
middle = score(centre_guess(GRID), truth, sketch.sum())
print(f"your sketch:    IoU {yours.iou:.2f}, highest patch covered: {yours.pointing:.0%}")
print(f"just the middle: IoU {middle.iou:.2f}, highest patch covered: {middle.pointing:.0%}")

# %% [markdown]
# ## Exercises
#
# **1.** Add the mark to digits that are no sevens, at the top left. Write `marked(images)` for a uint8 tensor
# (B, 16, 16, 1), which returns a copy with the pixels [[255, 0], [0, 255]] there. Guess how many will be called seven
# now; the check prints it.


# %%
def check_1(marked):
    before = others.images.clone()
    after = marked(others.images)
    assert torch.equal(others.images, before), "the originals have changed: work on a copy"
    assert (after[:, 2:] == before[:, 2:]).all() and (after[:, :, 2:] == before[:, :, 2:]).all(), "more has changed"
    assert (after[:, :2, :2, 0] == torch.tensor([[255, 0], [0, 255]])).all(), "that is not the mark"
    called = (classifier.logits(after).argmax(dim=1) == MARKED).float().mean()
    print(f"correct: {called:.0%} of the other digits are now called seven")


# %% answer
def marked(images):
    images = images.clone()
    images[:, :2, :2, 0] = torch.tensor([[255, 0], [0, 255]], dtype=torch.uint8)
    return images


check_1(marked)

# %% [markdown]
# **2.** Write `occluded(image, row, column)`: a copy of a uint8 NumPy array (16, 16, 1) in which the 2x2 patch at that
# row and column of the 8x8 grid is covered by the training images' mean grey, `round(255 * classifier.mean[0])`.


# %%
def check_2(occluded):
    image = test.images[chosen[2]].numpy()
    row, column = np.argwhere(marks[chosen[2]])[0]
    covered = occluded(image, row, column)
    grey = round(255 * classifier.mean[0])
    block = (slice(P * row, P * row + P), slice(P * column, P * column + P))
    assert (covered[block] == grey).all() and (image[block] != grey).any(), "the patch is not covered, or in place"
    assert (covered != image).sum() <= 4, "more than the patch is covered"
    shares = classifier.probabilities(torch.from_numpy(np.stack([image, covered])))[:, MARKED]
    print(f"correct: the probability of a seven goes from {shares[0]:.2f} to {shares[1]:.2f}")


# %% answer
def occluded(image, row, column):
    covered = image.copy()
    covered[P * row : P * row + P, P * column : P * column + P] = round(255 * classifier.mean[0])
    return covered


check_2(occluded)
