# %% [markdown]
# # 12. With words
#
# A classifier knows ten classes because its head has ten rows. CLIP replaced the head by a second network that
# reads text. An image tower turns the image into a vector, a text tower turns a caption into a vector of the same
# length, and training turns both until an image points where its own caption points. A new class is then a new
# sentence: no training, no new head. This is called *zero-shot* classification.
#
# The idea of this chapter: the meaning of an image is *which captions it is closer to than others*. So it matters
# which others the training showed. We compare the two losses that are in use, at several batch sizes, and ask the
# trained towers for combinations that no caption in training had.

# %%
import torch
from torch import nn

from learn.contrastive import CAPTIONS, LOSSES, WAYS, Towers, fit_towers, scene, sigmoid_loss, softmax_loss, tokenize
from learn.drawings import COLORS, RELATIONS, SHAPES, drawings
from learn.page import claim, shortened, show

UNSEEN_PLACE, UNSEEN_THING = "a red triangle left of", "yellow square"


def has_unseen_place(drawing):
    return scene(drawing.caption).startswith(UNSEEN_PLACE) and UNSEEN_THING not in drawing.caption


def has_unseen_thing(drawing):
    return UNSEEN_THING in drawing.caption and not scene(drawing.caption).startswith(UNSEEN_PLACE)


def is_ordinary(drawing):
    return UNSEEN_THING not in drawing.caption and not scene(drawing.caption).startswith(UNSEEN_PLACE)


train = drawings(shortened(3000, to=64), seed=1, wanted=is_ordinary)
count = shortened(300, to=3)
TESTS = {
    "seen combinations": drawings(count, seed=2, wanted=is_ordinary),
    "new place": drawings(count, seed=3, wanted=has_unseen_place),
    "new thing": drawings(count, seed=4, wanted=has_unseen_thing),
}
print(len(CAPTIONS), "captions, for example:", train[0].caption)
print("left out of training:", TESTS["new place"][0].caption, "/", TESTS["new thing"][0].caption)

# %% [markdown]
# Each drawing has two shapes and one caption ([learn/drawings.py](../../learn/drawings.py)). From training we leave
# out two kinds. *New place*: there are red triangles, and things on the left, but never a red triangle on the left
# of something. *New thing*: there are yellow things and squares, but no yellow square.
#
# "A left of B" and "B right of A" describe the same drawing. Both captions are true, so the function `scene` gives
# both the same name. If a batch holds two drawings of the same scene, each of their captions counts as right for
# both. The papers count such pairs as wrong, which is nearly always correct on the web. Here it would teach the
# towers falsehoods: {{ len(set(map(scene, CAPTIONS))) }} scenes cannot fill a batch of 1,024.
#
# ## A text tower
#
# A caption is tokens from the start: one per word. So the text tower is a word embedding, learned positions, two
# of the project's blocks ([[vit.models.vision_transformer.Block]]), and the mean over the words
# ([learn/contrastive.py](../../learn/contrastive.py)). The image tower is the project's
# [[vit.models.vision_transformer.VisionTransformer]]; its head no longer gives logits, but a vector.

# %%
towers = Towers(log_scale=0.0, bias=0.0)
images = torch.stack([drawing.image for drawing in train])
captions = [drawing.caption for drawing in train]
with torch.no_grad():
    print("words ", tokenize(captions[:1]).tolist())
    print("image ", tuple(images[:4].shape), "->", tuple(towers.images(images[:4]).shape))
    print("text  ", tuple(tokenize(captions[:4]).shape), "->", tuple(towers.texts(captions[:4]).shape))
    cosines = towers(images[:4], captions[:4])
print(cosines.numpy().round(2))

# %% [markdown]
# The last table is all that training sees: the cosine of every image of the batch (row) with every caption (column).
# It should be large on the diagonal.
#
# ## Two losses
#
# CLIP multiplies the cosines by a learned scale and takes a *softmax* over each row, and one over each column: which
# of these captions belongs to the image? The whole table has to be in one place before the first gradient.
# SigLIP asks about each cell by itself, with a *sigmoid*: do these two belong together, yes or no? As nearly all
# answers are no, it starts with a learned bias of -10.

# %%
small = torch.tensor([[2.0, 0.0], [1.0, 3.0]])
right = torch.eye(2, dtype=torch.bool)
by_hand = -(small.softmax(dim=1).diag().log().mean() + small.softmax(dim=0).diag().log().mean()) / 2
print(f"softmax {softmax_loss(small, right):.4f}, by hand {by_hand:.4f}")
cells = torch.where(right, small, -small).sigmoid().log()
print(f"sigmoid {sigmoid_loss(small, right):.4f}, by hand {-cells.sum() / 2:.4f}")
SIZES, SEEN = (16, 128, 1024), shortened(45_000, to=16)
trained = {}
for loss in LOSSES:
    for size in SIZES:
        trained[loss, size] = fit_towers(loss, images, captions, min(size, len(train)), SEEN)

# %% [markdown]
# Every training saw {{ SEEN:, }} images, so the batch of 16 made {{ SEEN // 16:, }} steps and that of 1,024 only
# {{ SEEN // 1024 }}. That is the fair comparison for a bill by the image. It is unfair to large batches, which in the
# papers get thousands of steps. These three sizes are what fits into the minutes of a chapter.
#
# ## Which caption?
#
# A trained pair scores a drawing against all {{ len(CAPTIONS) }} captions. There are five things to choose in a
# caption, so the scores are a table with five axes, and five questions can be read from it. *caption*: is the best of
# all captions true? *color*, *shape*, *relation*: with the rest of the caption given, is the best of the
# {{ len(COLORS) }}, {{ len(SHAPES) }} or {{ len(RELATIONS) }} words for the first thing the true one? *swap*: does
# "a red triangle left of a blue circle" win against "a blue circle left of a red triangle"?


# %%
def place_of(drawing):
    """Where the caption of the drawing is in a table of shape WAYS."""
    first, second = drawing.things
    lists = (list(COLORS), SHAPES, RELATIONS, list(COLORS), SHAPES)
    words = (first.color, first.shape, drawing.relation, second.color, second.shape)
    return tuple(known.index(word) for known, word in zip(lists, words, strict=True))


def score(towers, test):
    """The share of right answers to each question, in [0, 1]."""
    with torch.no_grad():
        tables = towers(torch.stack([drawing.image for drawing in test]), CAPTIONS)
    right = {"caption": [], "color": [], "shape": [], "relation": [], "swap": []}
    for drawing, table in zip(test, tables, strict=True):
        right["caption"].append(scene(CAPTIONS[table.argmax()]) == scene(drawing.caption))
        table = table.view(WAYS)
        color, shape, relation, *other = place = place_of(drawing)
        right["color"].append(table[:, *place[1:]].argmax() == color)
        right["shape"].append(table[color, :, *place[2:]].argmax() == shape)
        if [color, shape] != other:  # of two equal things, one may say "left of" as well as "right of"
            right["relation"].append(table[color, shape, :, *other].argmax() == relation)
            right["swap"].append(table[place] > table[*other, relation, color, shape])
    return {question: sum(map(float, answers)) / max(1, len(answers)) for question, answers in right.items()}


scores = {run: {name: score(towers, test) for name, test in TESTS.items()} for run, towers in trained.items()}
chance = {"caption": 1 / 288, "color": 1 / 4, "shape": 1 / 3, "relation": 1 / 4, "swap": 1 / 2}
print("seen combinations", *chance)
for (loss, size), of_run in scores.items():
    print(f"{loss} {size:5}    ", *(f"{value:7.1%}" for value in of_run["seen combinations"].values()))
print("chance           ", *(f"{value:7.1%}" for value in chance.values()))

# %%
best = max(scores, key=lambda run: scores[run]["seen combinations"]["caption"])
captions_right = {run: of_run["seen combinations"]["caption"] for run, of_run in scores.items()}


def draw(figure):
    above, below = figure.subfigures(2, 1, height_ratios=(1.1, 1.2))
    shown = TESTS["new place"][:3]
    with torch.no_grad():
        picked = trained[best](torch.stack([drawing.image for drawing in shown]), CAPTIONS).argmax(dim=1)
    for axes, drawing, index in zip(above.subplots(1, 3), shown, picked, strict=True):
        axes.imshow(drawing.image.permute(1, 2, 0))
        axes.axis("off")
        is_true = scene(CAPTIONS[index]) == scene(drawing.caption)
        lines = CAPTIONS[index]
        for relation in RELATIONS:
            lines = lines.replace(f" {relation} ", f"\n{relation}\n")
        axes.set_title(f"{lines}\n({'true' if is_true else 'false'})", fontsize=9)
    axes = below.subplots()
    for loss, style in (("softmax", "o--"), ("sigmoid", "s-")):
        axes.plot(SIZES, [captions_right[loss, size] for size in SIZES], style, label=loss)
    axes.set(xlabel="batch size", ylabel="best caption is true", xscale="log", ylim=(0, None))
    axes.set_xticks(SIZES, [str(size) for size in SIZES])
    axes.minorticks_off()
    axes.yaxis.set_major_formatter("{x:.0%}")
    axes.legend()


_ = show(
    draw,
    "Three drawings of a kind that training never showed with the captions that the model picks, and below them the "
    "share of drawings whose best caption is true by batch size, for both losses.",
    height=5.2,
)

# %%
claim(
    "Zhai et al. 2023, section 4.2",
    "the sigmoid loss is better than the softmax loss at small batches",
    f"true caption at batch size 16: sigmoid {captions_right['sigmoid', 16]:.1%}, softmax "
    f"{captions_right['softmax', 16]:.1%}; at 128: {captions_right['sigmoid', 128]:.1%} and "
    f"{captions_right['softmax', 128]:.1%}",
    holds=captions_right["sigmoid", 16] > captions_right["softmax", 16] + 0.02,
    at_any_size=False,
)
claim(
    "Radford et al. 2021; tutorials",
    "contrastive learning needs large batches",
    "true caption with softmax at the batch sizes "
    + ", ".join(f"{size}: {captions_right['softmax', size]:.1%}" for size in SIZES)
    + f", each after {SEEN:,} images",
    holds=captions_right["softmax", 128] > captions_right["softmax", 16] + 0.02,
    at_any_size=False,
)

# %% [markdown]
# ## Combinations never seen
#
# The towers that find the most captions were trained with {{ best[0] }} at batch size {{ best[1] }}. Here they meet all
# three kinds of drawings:

# %%
of_best = scores[best]
for name, values in of_best.items():
    print(f"{name:18}", *(f"{question} {value:.0%}  " for question, value in values.items()))
seen, place, thing = (of_best[name]["caption"] for name in TESTS)
claim(
    "Radford et al. 2021, section 3.1",
    "a model that learned from captions recognizes what it was never trained on, by its description",
    f"true among {len(CAPTIONS)} captions: {seen:.1%} of drawings of seen combinations, {place:.1%} of those with a "
    f"red triangle on the left, {thing:.1%} of those with a yellow square; chance is {chance['caption']:.1%}",
    holds=min(place, thing) > seen / 2 and seen > 0.1,
)
swap = of_best["seen combinations"]["swap"]
claim(
    "Yuksekgonul et al. 2023",
    "models trained contrastively treat a caption as a bag of words",
    f"the true caption beats the one with its things swapped for {swap:.1%} of drawings (a bag of words: 50%), and "
    f"the best of four relations is true for {of_best['seen combinations']['relation']:.1%}",
    holds=swap < 0.75,
    at_any_size=False,
)

# %% [markdown]
# Towers that know all colors and shapes, but nothing of the order, find the true caption for one drawing in four: the
# same things can stand in four ways. That is the mark to compare {{ seen:.0% }} with. Training goes from the easy to
# the difficult: colors first, then shapes, order last.
#
# Why would a model ignore the order of words? Because the training seldom asks for it. In a batch of 16 random
# drawings hardly any two have the same things the other way round, so colors and shapes alone find the right
# caption. With {{ len(set(map(scene, CAPTIONS))) }} scenes a large batch has such pairs. Of all captions on the web,
# a batch has next to none, and Yuksekgonul et al. mended it by adding swapped captions on purpose.
#
# A text tower without positions could not learn the order at all, as chapter 2 showed for patches:

# %%
blind = Towers(*LOSSES["sigmoid"][1:])
nn.init.zeros_(blind.text.position)
with torch.no_grad():
    one, other = blind.texts(["a red triangle left of a blue circle", "a blue circle left of a red triangle"])
print(f"largest difference without positions: {(one - other).abs().max():.0e}")

# %% [markdown]
# ## Exercises
#
# **1.** There are 4 colors, 3 shapes and 4 relations, and so 576 captions. How many different scenes do
# they describe?


# %%
def check_1(scenes):
    assert scenes == len({scene(caption) for caption in CAPTIONS}), "name a caption that is true of the same drawing"
    print("correct: each scene has two captions; even two equal things have two")


# %% answer
check_1(288)

# %% [markdown]
# **2.** Write SigLIP's loss, `pairs(logits)`, for a batch in which caption i belongs to image i and to no other.
# Logits are (B, B). Careful: Zhai et al. divide by B, not by the number of cells.


# %%
def check_2(pairs):
    logits = torch.randn(5, 5, generator=torch.Generator().manual_seed(0)) * 3
    assert torch.allclose(pairs(logits), sigmoid_loss(logits, torch.eye(5) > 0)), "for five random pairs"
    print("correct: the diagonal should be large, every other cell small")


# %% answer
def pairs(logits):
    signs = 2 * torch.eye(len(logits)) - 1
    return -nn.functional.logsigmoid(signs * logits).sum() / len(logits)


check_2(pairs)
