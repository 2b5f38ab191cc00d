# %% [markdown]
# # 8. A small ViT against a small CNN
#
# "Transformers are hungry for data" is the best-known sentence about them. The reason given is *inductive bias*: what
# a model takes for granted before it sees an image. A convolution takes for granted that neighbours belong together,
# and that a stroke means the same everywhere. A ViT takes almost nothing for granted, so it has to be shown.
#
# If that is right, two things follow. The CNN should lead while images are few. And the bias is no property of a whole
# architecture: it should be possible to hand it to the ViT, as a few convolutions before its tokens, or as data.

# %%
from statistics import mean

import numpy as np
import torch

from learn.digits import digits, new_classifier, params
from learn.page import claim, shortened, show
from learn.training import fit, recipe
from vit.data.batches import Packed
from vit.evaluation.bootstrap import share_interval
from vit.evaluation.explain import model_input
from vit.evaluation.invariance import changes_of
from vit.evaluation.paired import paired_bootstrap, verdict

data = digits()
STEM = params().model.model_dump()  # the preset: two convolutions, then the blocks
MODELS = {"CNN": {"name": "cnn"}, "ViT": STEM | {"stem": "patch"}, "ViT, conv stem": STEM}
for name, model in MODELS.items():
    print(f"{name:15}{new_classifier(**model).parameter_count:8,} parameters")

# %% [markdown]
# The CNN is [[vit.models.baselines.SmallCNN]]. Both ViTs have the same {{ STEM["depth"] }} blocks of width
# {{ STEM["embed_dim"] }} over patches of 2x2 pixels. Only the way from pixels to tokens differs: one matrix for
# each patch, or the convolutions of [[vit.models.stems.ConvStem]], whose windows cross the borders of the patches.
#
# ## What is built in
#
# Move an image by one pixel. A convolution gives the same numbers, one pixel further on. It cannot do otherwise: the
# same weights slide over all places. Do the tokens of a ViT move along as well?

# %%
cnn, vit = (new_classifier(**MODELS[name]).model.eval() for name in ("CNN", "ViT"))
x = model_input(new_classifier(**MODELS["ViT"]), data.val.images)  # (N, 1, 8, 8)


def moved_along(layer, x, pixels, positions):
    """Largest difference between the features of moved images and the moved features of the images, borders left out;
    relative to the largest feature."""
    with torch.no_grad():
        features, of_moved = layer(x), layer(x.roll(pixels, dims=3))  # (N, C, h, w)
    difference = features.roll(positions, dims=3) - of_moved
    return (difference[..., 1 + positions : -1].abs().max() / features.abs().max()).item()


def tokens(x):
    """The patch embedding as a map, before positions are added: (N, D, 4, 4)."""
    return vit.patch_embed(x).transpose(1, 2).unflatten(2, (4, 4))


error = {
    "convolution, 1 pixel": moved_along(cnn.features[0][0], x, 1, 1),
    "patches, 2 pixels": moved_along(tokens, x, 2, 1),
    "patches, 1 pixel, to the same token": moved_along(tokens, x, 1, 0),
    "patches, 1 pixel, to the next token": moved_along(tokens, x, 1, 1),
}
print("images", tuple(x.shape), "features", tuple(cnn.features[0](x).shape), "tokens", tuple(tokens(x).shape))
for case, value in error.items():
    print(f"{case:37}{value:.1e}")

# %% [markdown]
# Zero, up to rounding, for the convolution, and for the patches when the move is one whole patch. For a move of half a
# patch there is no token with the same numbers. Positions, added later, tell even whole patches apart. So the ViT has
# to learn for every place anew what a moved stroke looks like.
#
# ## The hunger curve
#
# Each model trains on 50 to {{ len(data.train):, }} digits, for the *same number of optimizer steps* with the same
# recipe and without augmentation, twice with other images and other initial weights. The points are the mean of both
# on the test digits, which choose nothing here; the bars are 95 % intervals over images
# ([[vit.evaluation.bootstrap.share_interval]]). They hold for these two trainings; two seeds say little about a third.

# %%
STEPS = shortened(150, to=1)
SEEDS = range(shortened(2, to=1))
SHIFT = 0.15
SIZES = (50, 100, 200, 400, 800, len(data.train))
test = Packed(*(values[: shortened(len(data.test), to=30)] for values in (data.test.images, data.test.labels)))
PLAIN = dict.fromkeys(recipe().augment.model_dump(), 0.0)


def some(count, seed):
    """`count` train digits, drawn by `seed`: smaller draws are part of larger ones."""
    order = torch.randperm(len(data.train), generator=torch.Generator().manual_seed(seed))[:count]
    return Packed(data.train.images[order], data.train.labels[order])


def train(name, count, seed, augment):
    classifier = new_classifier(seed, **MODELS[name])
    fit(classifier, some(count, seed), recipe(augment=augment, seed=seed, warmup_epochs=0.0), STEPS)
    return classifier


def correct(classifier, images):
    """Which test digits are correct, bool (N,)."""
    with torch.no_grad():
        return (classifier.model(model_input(classifier, images)).argmax(dim=1) == test.labels).numpy()


def score(runs):
    """Mean accuracy of the runs (R, N) and its interval; a resample draws an image with all its runs."""
    images = np.tile(np.arange(runs.shape[1]), len(runs))
    return runs.mean(), *share_interval(runs.ravel(), images, 0.95, seed=0)


def lead(ahead, behind):
    """By how much the runs (R, N) `ahead` are better than `behind`, with the interval."""
    images = np.tile(np.arange(ahead.shape[1]), len(ahead))
    return paired_bootstrap(behind.ravel(), ahead.ravel(), images, 0.95, seed=0)


plain, runs = {}, {}
for name in MODELS:
    for count in SIZES:
        trained = [train(name, count, seed, PLAIN) for seed in SEEDS]
        runs[name, count] = np.stack([correct(one, test.images) for one in trained])
    plain[name] = trained  # those that saw all images
print("images          " + "".join(f"{count:>8,}" for count in SIZES))
for name in MODELS:
    print(f"{name:16}" + "".join(f"{runs[name, count].mean():8.1%}" for count in SIZES))


# %%
def draw(figure):
    axes = figure.subplots()
    for number, (name, style) in enumerate(zip(MODELS, ("o-", "s--", "^-."), strict=True)):
        middle, low, high = np.array([score(runs[name, count]) for count in SIZES]).T * 100
        at = np.array(SIZES) * (0.96, 1.0, 1.04)[number]  # side by side, so that the bars do not cover each other
        axes.errorbar(at, middle, (middle - low, high - middle), fmt=style, capsize=2, label=name)
    axes.set(xscale="log", xlabel="train images", ylabel="test accuracy, %")
    axes.set_xticks(SIZES, [f"{count:,}" for count in SIZES])
    axes.minorticks_off()
    axes.legend(loc="lower right")


_ = show(
    draw,
    "Test accuracy over the number of train images, on a log axis, of the small CNN, the plain ViT and the ViT with a "
    "convolutional stem, with 95 % intervals.",
    height=3.6,
)

# %%
cnn_lead = {count: lead(runs["CNN", count], runs["ViT", count]) for count in SIZES}
stem_lead = {count: lead(runs["ViT, conv stem", count], runs["ViT", count]) for count in SIZES}


def in_points(lead):
    difference, low, high = (100 * value for value in lead)
    return f"{difference:+.1f} points ({low:+.1f} to {high:+.1f})"


print("ahead of the plain ViT")
for count in SIZES:
    print(f"{count:5,} images: CNN {in_points(cnn_lead[count])}, conv stem {in_points(stem_lead[count])}")
few = [count for count in SIZES if count <= 200]
gap, gained = (mean(leads[count][0] for count in few) for leads in (cnn_lead, stem_lead))
first, last = cnn_lead[SIZES[0]], cnn_lead[SIZES[-1]]
claim(
    "Dosovitskiy et al. 2020, section 1",
    "without a convolution's inductive bias, a ViT does worse than a CNN on few images, and more images close the gap",
    f"the CNN is ahead by {in_points(first)} with {SIZES[0]} images and by {in_points(last)} with {SIZES[-1]:,}, "
    f"each after {STEPS} steps",
    holds=verdict(*first[1:]) == "better" and last[0] < first[0] / 2,
)
claim(
    "Hassani et al. 2021; Xiao et al. 2021",
    "a few convolutions before the tokens make a ViT learn well from little data",
    f"with 50 to 200 images the plain ViT is {100 * gap:.1f} points behind the CNN on average; the stem gains it "
    f"{100 * gained:.1f}",
    holds=gained > gap / 2 and all(verdict(*stem_lead[count][1:]) == "better" for count in few),
)

# %% [markdown]
# Equal steps are not equal time, and not every model's best recipe: the learning rate is the one that was chosen for
# the ViT with the stem. And digits are strokes, the convolution's home ground. On cartoon frames, with color,
# background and characters in any pose, the order turns round: there the ViT with the stem leads the small CNN and a
# ResNet-18 after about three minutes each, and the stem is what turns it: the plain ViT was level with the CNN. After
# thirty minutes the lead is smaller. Those runs are longer than a chapter: [Little data](../results/little-data.md).
#
# ## Move the bias into the data
#
# What a convolution knows by construction, a ViT can be told: show it each digit at many places. We train on all digits
# with random shifts of at most {{ SHIFT:.0% }} of the side, and test on digits that are moved by one pixel along both
# axes ([[vit.evaluation.invariance.changes_of]]): a long way on 8x8 pixels.

# %%
shifts = {name: [train(name, SIZES[-1], seed, PLAIN | {"translate": SHIFT}) for seed in SEEDS] for name in MODELS}
moved = [torch.from_numpy(change(test.images.numpy())) for change in changes_of(["shift"]).values()]


def on_moved(trained):
    """Correct after each of the two moves, as one list of test digits per training: (R, 2 N)."""
    return np.stack([np.concatenate([correct(one, images) for images in moved]) for one in trained])


share = {}
for name in MODELS:
    for trained, how in ((plain, "as they are"), (shifts, "with shifts")):
        still = mean(correct(one, test.images).mean() for one in trained[name])
        share[name, how] = still, on_moved(trained[name]).mean()
        print(f"{name:15} trained {how}: {share[name, how][0]:6.1%} of test, {share[name, how][1]:6.1%} when moved")

# %%
lost = {key: still - after for key, (still, after) in share.items()}
bare, told = ("CNN", "as they are"), ("ViT", "with shifts")
claim(
    "tutorials",
    "a CNN is invariant to shifts by construction",
    f"moved by one pixel along both axes, it loses {100 * lost[bare]:.1f} points; the plain ViT "
    f"{100 * lost['ViT', 'as they are']:.1f}",
    holds=lost[bare] < 0.02,
)
claim(
    "Touvron et al. 2021; Steiner et al. 2021",
    "augmentation gives a ViT what its architecture lacks",
    f"on moved digits the plain ViT reaches {share['ViT', 'as they are'][1]:.1%}, and {share[told][1]:.1%} when "
    f"trained with shifts; the CNN without them {share[bare][1]:.1%}",
    holds=share[told][1] > share[bare][1] - 0.01,
)

# %% [markdown]
# So the bias can live in three places: in the blocks (a CNN), before them (a stem), or in the data (shifts). The
# architecture's share is there from the first image on. The data's share costs steps, but you choose what it says: the
# preset for digits also turns and shears them, which no convolution knows. And it can be wrong in either place: a
# mirrored 3 is no digit.
#
# ## Exercises
#
# **1.** The CNN's first layer maps 8x8 pixels to 32 maps of 8x8. How many weights would a dense layer
# between the same numbers have, and how many has the convolution? No biases: `check_1(dense, convolution)`.


# %%
def check_1(dense, convolution):
    assert dense == torch.nn.Linear(8 * 8, 32 * 8 * 8, bias=False).weight.numel(), "one per pixel and output"
    assert convolution == cnn.features[0][0].weight.numel(), "one window per map, the same everywhere"
    print(f"correct: sharing and locality take away {1 - convolution / dense:.1%} of what could be learned")


# %% answer
check_1(64 * 64 * 32, 3 * 3 * 32)

# %% [markdown]
# **2.** Put the bias into the data by hand. Write `with_shifts(images)`: for images (N, H, W, C) return (5 N, H, W, C),
# the images themselves, then all of them moved by one pixel up, down, left and right. What comes in is black.


# %%
def check_2(with_shifts):
    images = torch.randint(1, 256, (3, 8, 6, 1), dtype=torch.uint8)
    same, up, down, left, right = with_shifts(images).split(3)
    assert torch.equal(same, images)
    assert torch.equal(up[:, :-1], images[:, 1:]) and not up[:, -1].any(), "up"
    assert torch.equal(down[:, 1:], images[:, :-1]) and not down[:, 0].any(), "down"
    assert torch.equal(left[:, :, :-1], images[:, :, 1:]) and not left[:, :, -1].any(), "left"
    assert torch.equal(right[:, :, 1:], images[:, :, :-1]) and not right[:, :, 0].any(), "right"
    print("correct: five times the images, and not one new digit")


# %% answer
def with_shifts(images):
    H, W = images.shape[1:3]
    padded = torch.nn.functional.pad(images, (0, 0, 1, 1, 1, 1))
    corners = ((1, 1), (2, 1), (0, 1), (1, 2), (1, 0))
    return torch.cat([padded[:, top : top + H, left : left + W] for top, left in corners])


check_2(with_shifts)
