# %% [markdown]
# # 11. Without labels, II: self-distillation
#
# Masked autoencoding paints pixels. Another way to learn without labels paints nothing: look at an image twice,
# through two different crops, and say the *same thing* both times. What does not change with the crop is what the image
# is about.
#
# The trouble is that one can always say the same by saying nothing: one answer for all images. DINO (Caron et al.
# 2021) prevents that with two small tricks. It became famous for what it was never trained for: its attention outlines
# objects. We train one on drawings in which we know each object to the pixel, take the tricks away one by one, and
# measure whether it finds the objects here.

# %%
from functools import partial
from itertools import combinations_with_replacement
from math import log

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.patches import Rectangle

from learn.digits import digits, new_classifier
from learn.dino import Dino, entropies, momentum_at
from learn.drawings import COLORS, SIZE, drawings
from learn.page import claim, shortened, show
from learn.training import accuracy, fit, recipe
from vit.config.schema import AugmentParams
from vit.data.augmentation.apply import augment
from vit.data.augmentation.changes import draw_changes
from vit.data.batches import Packed
from vit.data.pack import channel_statistics
from vit.data.seeds import seeded
from vit.evaluation.attention import attention_maps, pooled
from vit.evaluation.explain import model_input
from vit.inference.features import featurizer
from vit.inference.neighbours import nearest_labels
from vit.training.optim import learning_rate

P = 4  # pixels of a patch
GRID = (SIZE // P, SIZE // P)
CODES, BATCH, MOMENTUM = 64, 32, 0.98
STEPS = shortened(160, to=2)
PAIRS = list(combinations_with_replacement(sorted(COLORS), 2))  # labels: which two colours are in a drawing


def packed(made):
    """Drawings as images uint8 (N, 32, 32, 3), with labels."""
    images = torch.stack([one.image for one in made]).permute(0, 2, 3, 1).contiguous()
    colors = [tuple(sorted(thing.color for thing in one.things)) for one in made]
    return Packed(images, torch.tensor([PAIRS.index(pair) for pair in colors]))


learned, drawn = drawings(shortened(1500, to=64), seed=0), drawings(shortened(300, to=20), seed=1)
train, test = packed(learned), packed(drawn)
preprocessing = digits().preprocessing | {
    "classes": [" and ".join(pair) for pair in PAIRS],
    "image_size": [SIZE, SIZE],
    "channels": 3,
    **channel_statistics(train.images.numpy()),
}


def new(seed=0):
    return new_classifier(
        seed, preprocessing, patch_size=P, embed_dim=64, depth=3, num_heads=4, mlp_ratio=2.0, pool="cls"
    )


x = model_input(new(), test.images)
print("train", tuple(train.images.shape), "test", tuple(x.shape))
print("for example:", drawn[0].caption, "with boxes", drawn[0].boxes.tolist())

# %% [markdown]
# ## Student and teacher
#
# Two networks of the same shape: a ViT with a *projector* behind its class token, which answers with {{ CODES }}
# numbers, one for each of {{ CODES }} *codes*. What a code means is up to them. A step goes like this (`learn/dino.py`,
# built from `vit`):
#
# 1. Make two *wide* views of each image, and four *narrow* ones of {{ SIZE // 2 }}x{{ SIZE // 2 }} pixels, a quarter of
#    the area (*multi-crop*).
# 2. The *teacher* looks at the wide views. From its answers the *centre* is subtracted, a running mean over all
#    images (*centering*), and a softmax at a low temperature makes them almost a single code (*sharpening*).
# 3. The *student* looks at all views, and from each has to predict the teacher's code of each *other* wide view: from a
#    corner of the drawing, what the whole is about.
# 4. Only the student gets gradients. The teacher follows: each of its weights becomes {{ MOMENTUM:.0% }} itself and
#    {{ 1 - MOMENTUM:.0% }} the student's, and less of the student's towards the end.

# %%
VARIED = AugmentParams(hflip=0.5, scale=0.3, translate=0.25, brightness=0.4, contrast=0.4, saturation=0.4)


def view(classifier, images, side, *key):
    """A random view of each image, (B, 3, side, side); `key` seeds it."""
    changes = draw_changes(len(images), VARIED, partial(seeded, *key))
    return augment(images, changes, (side, side), classifier.mean, classifier.std)


def views(classifier, images, step, change=lambda images, *key: images):
    """The wide and the narrow views; `change` is applied to the images first, for each view anew."""
    wide = [view(classifier, change(images, step, "wide", number), SIZE, step, "wide", number) for number in range(2)]
    narrow = [
        view(classifier, change(images, step, "narrow", number), SIZE // 2, step, "narrow", number)
        for number in range(4)
    ]
    return wide, narrow


def new_dino(classifier, **changes):
    return Dino(featurizer(classifier).model, GRID, **{"codes": CODES, "temperature": 0.02} | changes)


wide, narrow = views(new(), train.images[:BATCH], 0)
loss, targets = new_dino(new())(wide, narrow)
print("wide", *(tuple(one.shape) for one in wide), "narrow", *(tuple(one.shape) for one in narrow))
print("targets", tuple(targets.shape), f"loss {loss:.2f}; even answers would have ln {CODES} = {log(CODES):.2f}")


# %%
def distilled(steps, change=None, **changes):
    """Train DINO; returns its teacher, and the `entropies` of its targets at each step."""
    classifier = new()
    dino = new_dino(classifier, **changes)
    weights = [weight for weight in dino.student.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, weight_decay=0.04)
    schedule, seen = recipe(epochs=1, lr=1e-3, warmup_epochs=0.1), []
    for step in range(steps):
        chosen = torch.randint(len(train), (BATCH,), generator=seeded("batch", step))
        dino.follow(momentum_at(step / steps, MOMENTUM))
        changed = {} if change is None else {"change": partial(change, chosen)}
        loss, targets = dino(*views(classifier, train.images[chosen], step, **changed))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps, schedule)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        seen.append(entropies(targets))
    return dino.teacher[0].eval(), np.array(seen)


teacher, watched = distilled(STEPS)

# %% [markdown]
# ## Two ways to say nothing
#
# How would we notice a collapse? Not by the loss: one answer for all images is easy to predict. Watch the teacher's
# targets instead, with two entropies, each as a share of the largest possible, ln {{ CODES }}:
#
# - of *one* target: 0 if it is a single code, 1 if it is all codes alike;
# - of the *mean* target of a batch: 0 if all images get the same code, 1 if all codes are in use.
#
# Learning needs a gap: sure about each image, different between images. Where both are equal, each image gets what
# all get, and the target says nothing about it. Now take away either trick:

# %%
FEWER = shortened(80, to=2)
runs = {
    "DINO": watched,
    "no centering": distilled(FEWER, is_centred=False)[1],
    "no sharpening": distilled(FEWER, temperature=0.1)[1],
}
late = {name: entropy[-10:].mean(axis=0) for name, entropy in runs.items()}
for name, (own, together) in late.items():
    print(f"{name:14} one target {own:.2f}, mean target {together:.2f}, gap {together - own:.2f}")


def draw_entropies(figure):
    panels = figure.subplots(1, len(runs), sharey=True)
    for axes, (name, entropy) in zip(panels, runs.items(), strict=True):
        axes.plot(entropy[:, 1], label="mean target")
        axes.plot(entropy[:, 0], "--", label="one target")
        axes.set_title(name, fontsize=10)
        axes.set(xlabel="step", ylim=(-0.03, 1.03))
    panels[0].set_ylabel(f"entropy / ln {CODES}")
    panels[1].legend(fontsize=8, loc="upper right")


_ = show(
    draw_entropies,
    "Entropy of one target and of the mean target over the steps of three trainings; the gap between the two curves is "
    "what targets say about their image.",
    height=2.4,
)
claim(
    "Caron et al. 2021, section 5.3",
    "without centering all images collapse to one code, without sharpening to the even answer; with both, to neither",
    "; ".join(f"{name}: entropy of one target {own:.2f}, of the mean {both:.2f}" for name, (own, both) in late.items()),
    holds=late["no centering"].max() < 0.1
    and late["no sharpening"].min() > 0.9
    and late["DINO"][1] - late["DINO"][0] > 0.1,
)

# %% [markdown]
# An entropy is easier to read as the number of codes in even use: {{ CODES }} to the power of it. Without centering one
# target has {{ CODES ** late["no centering"][0]:.1f }} codes and a batch {{ CODES ** late["no centering"][1]:.1f }};
# without sharpening, {{ CODES ** late["no sharpening"][0]:.0f }} and {{ CODES ** late["no sharpening"][1]:.0f }}; with
# both tricks {{ CODES ** late["DINO"][0]:.0f }} and {{ CODES ** late["DINO"][1]:.0f }}. That is an average of a short
# training which is still swinging, as the left curves show.
#
# ## Does its attention find the objects?
#
# The class token reads patches; what it reads in a block is a map of 8x8 (chapter 3), here the mean over heads. We
# score it on {{ len(drawn) }} new drawings, in two ways:
#
# - *peak*: how often the patch that it reads most has its middle in one of the two boxes;
# - *IoU*: as in the paper, keep the fewest patches that hold 60 % of the attention. Divide the pixels that they share
#   with the objects' exact masks by the pixels that either covers.
#
# Chance is not the only thing to beat. So there are three models of one shape: untrained, DINO's teacher, and one
# trained with labels, namely which two colours are in a drawing. Beside them a k-NN vote on their features
# ([[vit.inference.neighbours.nearest_labels]]) tells whether the colours were learned.

# %%
masks, train_masks = (torch.stack([one.masks.any(dim=0) for one in made]) for made in (drawn, learned))  # (N, 32, 32)
in_box = torch.zeros_like(masks)
for index, one in enumerate(drawn):
    for top, left, bottom, right in one.boxes.tolist():
        in_box[index, top : bottom + 1, left : right + 1] = True
in_box = in_box[:, P // 2 :: P, P // 2 :: P].flatten(1)  # (N, 64): the middles of patches


def most_read(read):
    """Of attention (..., 64) the fewest patches that hold 60 %, as booleans."""
    share, order = (read / read.sum(dim=-1, keepdim=True)).sort(dim=-1, descending=True)
    return torch.zeros_like(read, dtype=torch.bool).scatter(-1, order, share.cumsum(dim=-1) - share < 0.6)


def iou(patches):
    """Mean intersection over union of patches (N, 64) with the pixels of the objects."""
    pixels = patches.reshape(-1, *GRID).repeat_interleave(P, dim=1).repeat_interleave(P, dim=2)
    return ((pixels & masks).sum(dim=(1, 2)) / (pixels | masks).sum(dim=(1, 2))).mean().item()


def reads(model):
    """What the class token reads in each block, mean of heads: (blocks, N, 64)."""
    return pooled(attention_maps(model, x).mean(dim=2), model)


def peaks(read):
    """Per block, how often the patch that is read most is in a box."""
    return [in_box.gather(1, one.argmax(dim=1)[:, None]).float().mean().item() for one in read]


def features_of(model, images):
    with torch.no_grad():
        return torch.cat([model(model_input(supervised, some)) for some in images.split(500)])


def votes(model):
    """The share of test drawings whose colours the nearest train drawings tell."""
    nearest = nearest_labels(features_of(model, train.images), train.labels, features_of(model, test.images))
    return (nearest == test.labels).float().mean().item()


supervised = new()
_ = fit(supervised, train, recipe(augment=VARIED.model_dump()), steps=shortened(120, to=2))
print(f"with labels: {accuracy(supervised, test):.1%} of the colours in new drawings correct")
models = {
    "untrained": featurizer(new()).model.eval(),
    "supervised": featurizer(supervised).model.eval(),
    "DINO": teacher,
}
read = {name: reads(model) for name, model in models.items()}
peak = {name: peaks(maps) for name, maps in read.items()}
overlap = {name: [*map(iou, most_read(maps))] for name, maps in read.items()}
voted = {name: votes(model) for name, model in models.items()}
chance = in_box.float().mean().item()
shuffled = iou(most_read(read["DINO"][-1])[:, torch.randperm(64, generator=seeded("chance"))])
print(f"{'':12} {'peak in a box':20} {'IoU':20} k-NN")


def line(name):
    spans = (" ".join(f"{value:.2f}" for value in scores[name]) for scores in (peak, overlap))
    print(f"{name:12}", *(f"{span:20}" for span in spans), f"{voted[name]:.0%}")


print(f"{'chance':12} {chance:<20.2f} {shuffled:<20.2f}")
for name in models:
    line(name)
colored = test.images.max(dim=-1).values > test.images.min(dim=-1).values
rule = ((colored & masks).sum() / (colored | masks).sum()).item()
print(f"a rule, all that is not grey: IoU {rule:.2f}")

# %%
last = {name: (peak[name][-1], overlap[name][-1]) for name in models}
claim(
    "Caron et al. 2021, section 4.2 and figure 1",
    "the class token's attention in the last block finds the objects, though no label was used",
    f"its peak is in a box in {last['DINO'][0]:.0%} of the drawings, untrained {last['untrained'][0]:.0%}, chance "
    f"{chance:.0%}; IoU {last['DINO'][1]:.2f}, {last['untrained'][1]:.2f} and {shuffled:.2f}",
    holds=last["DINO"][0] > max(2 * chance, last["untrained"][0]) and last["DINO"][1] > last["untrained"][1] + 0.02,
    at_any_size=False,
)
claim(
    "Caron et al. 2021, abstract",
    "information about the objects' outlines does not emerge as clearly in supervised ViTs",
    f"IoU of the last block {last['supervised'][1]:.2f} when trained with labels, {last['DINO'][1]:.2f} with DINO",
    holds=last["DINO"][1] > last["supervised"][1] + 0.02,
    at_any_size=False,
)

# %% [markdown]
# Two lines of the table to keep. An *untrained* model's last block already has its peak in a box in
# {{ last["untrained"][0]:.0% }} of the drawings, where chance has {{ chance:.0% }}: the objects are what differs most
# from the rest, and even random weights may notice that. Whoever compares a map with chance alone would call it a
# discovery. And a rule of one line has an IoU of {{ rule:.2f }}: these drawings are easy, except for a model that is
# told nothing.
#
# ## What do the views share?
#
# The peak of DINO's last block is in a box in {{ last["DINO"][0]:.0% }} of the drawings. Why that number? Think of what
# the task rewards. A narrow view often holds no object, or half of one. What all views of a drawing have in common is
# its *ground*: how bright the grey is, how it slopes. We made these drawings and know their masks, so we can ask with a
# counterfactual (chapter 15). Put the objects of drawing A on a new ground; put those of drawing B on the ground of A.
# Which of the two lies nearer to A in the model's features?


# %%
def on_new_ground(images, masks, *key):
    """The objects of images (B, 32, 32, 3) on a random grey with noise; `key` seeds it."""
    generator = seeded("ground", *key)
    grey = 70 + 130 * torch.rand(len(images), 1, 1, 1, generator=generator)
    noise = 8 * torch.randn(len(images), SIZE, SIZE, 1, generator=generator)
    return torch.where(masks[..., None], images, (grey + noise).clamp(0, 255).to(torch.uint8))


def sees_objects(model):
    """How often the same objects on another ground are nearer than other objects on the same ground."""
    moved = [(test.images, masks, "A"), (test.images, masks, "B"), (test.images.roll(1, 0), masks.roll(1, 0), "A")]
    one, same_objects, same_ground = (F.normalize(features_of(model, on_new_ground(*how)), dim=1) for how in moved)
    return ((one * same_objects).sum(dim=1) > (one * same_ground).sum(dim=1)).float().mean().item()


objects = {name: sees_objects(model) for name, model in models.items()}
for name, share in objects.items():
    print(f"{name:12} the same objects are nearer than the same ground in {share:.0%}")

# %% [markdown]
# If that is the reason, there is a test: take the ground out of what the views share. The same training again, with one
# change: each view gets a ground of its own. (That uses our masks, so it is an experiment, not a method.)

# %%
models["new grounds"], _ = distilled(
    STEPS, lambda chosen, images, *key: on_new_ground(images, train_masks[chosen], *key)
)
name = "new grounds"
read[name] = reads(models[name])
peak[name], overlap[name] = peaks(read[name]), [*map(iou, most_read(read[name]))]
voted[name], objects[name] = votes(models[name]), sees_objects(models[name])
line("DINO")
line(name)
print(f"the same objects are nearer than the same ground in {objects['DINO']:.0%} and {objects[name]:.0%}")
claim(
    "Tian et al. 2020, What makes for good views",
    "a model learns what its views share, and nothing else",
    f"with a new ground for each view, the same objects are nearer than the same ground in {objects[name]:.0%} instead "
    f"of {objects['DINO']:.0%}, and the last block's peak is in a box in {peak[name][-1]:.0%} instead of "
    f"{peak['DINO'][-1]:.0%}",
    holds=objects[name] > objects["DINO"] + 0.1 and peak[name][-1] > peak["DINO"][-1] + 0.1,
)


TITLES = {"new grounds": "new\ngrounds"}


def draw_maps(figure):
    panels = figure.subplots(4, 5)
    for row, index in zip(panels, range(4), strict=True):
        row[0].imshow(test.images[index])
        for top, left, bottom, right in drawn[index].boxes.tolist():
            corner, height, width = (left - 0.5, top - 0.5), bottom - top + 1, right - left + 1
            row[0].add_patch(Rectangle(corner, width, height, fill=False, edgecolor="white", linewidth=1))
        for axes, name in zip(row[1:], models, strict=True):
            axes.imshow(read[name][-1, index].reshape(GRID), cmap="inferno", vmin=0)
            if index == 0:
                axes.set_title(TITLES.get(name, name), fontsize=9)
        for axes in row:
            axes.set(xticks=[], yticks=[])


_ = show(
    draw_maps,
    "Four drawings with the boxes of their objects, and what the class token of the last block reads in them: "
    "untrained, supervised, DINO, and DINO with a new ground for each view.",
    height=4.0,
)

# %% [markdown]
# Look at DINO's maps, and at its IoU of {{ overlap["DINO"][-1]:.2f }} where chance has {{ shuffled:.2f }}: in most
# drawings the objects are what it leaves out. With new grounds the last block's peak is in a box in
# {{ peak["new grounds"][-1]:.0% }} of the drawings ({{ peak["untrained"][-1]:.0% }} untrained). What *features* hold
# moved less: the colours are told in {{ voted["new grounds"]:.0% }} instead of {{ voted["DINO"]:.0% }}, and on two
# grounds the same objects are nearer in {{ objects["new grounds"]:.0% }}. {{ STEPS }} steps are few, and one seed is
# one.
#
# The sentence "DINO finds the objects" leaves out its reason. On photographs with one thing in the middle, the thing is
# what two crops share. In these drawings they share the ground. What a model without labels looks at was decided by
# whoever chose its views.
#
# ## Exercises
#
# **1.** What is the loss after each of the two collapses: if teacher and student give all {{ CODES }} codes alike, and
# if both are sure of one code, the same for all images? `check_1(even, one)`, to two digits after the point.


# %%
def check_1(even, one):
    for found, target in ((even, torch.full((CODES,), 1 / CODES)), (one, torch.eye(CODES)[0])):
        loss = -(target * target.clamp(min=1e-12).log()).sum().item()
        assert abs(found - loss) < 0.006, "the cross-entropy of a target with itself is its entropy"
    print("correct: a loss near zero can mean that nothing was learned")


# %% answer
check_1(4.16, 0)

# %% [markdown]
# **2.** Write `targets(taught, centre, temperature)`: from a teacher's outputs (B, K) to its targets (B, K).


# %%
def check_2(targets):
    dino = new_dino(new())
    dino.centre = torch.linspace(-0.2, 0.2, CODES)[None]
    taught = torch.randn(5, CODES, generator=torch.Generator().manual_seed(0)) / 8
    found = targets(taught, dino.centre, dino.temperature)
    assert torch.allclose(found.sum(dim=1), torch.ones(5)), "a target sums to 1"
    assert torch.allclose(found, dino.targets(taught), atol=1e-6), "first subtract the centre, then divide"
    print("correct: equal to the chapter's teacher")


# %% answer
def targets_of(taught, centre, temperature):
    return ((taught - centre) / temperature).softmax(dim=1)


check_2(targets_of)
