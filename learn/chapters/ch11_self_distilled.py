# %% [markdown]
# # 11. Without labels, II: self-distillation
#
# Masked autoencoding paints pixels. Another way to learn without labels paints nothing: look at an image twice,
# through two different crops, and say the *same thing* both times. What does not change with the crop is what the image
# is about.
#
# The trouble is that one can always say the same by saying nothing: one answer for all images. DINO (Caron et al.
# 2021) prevents that with two small tricks, and became famous for what it was never trained for: its attention outlines
# objects. We train one on drawings in which we know each object to the pixel, take the tricks away one by
# one, and measure whether it finds the objects here.

# %%
from functools import partial
from itertools import combinations_with_replacement
from math import log

import numpy as np
import torch

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
CODES, BATCH = 256, 32
STEPS = shortened(250, to=2)
PAIRS = list(combinations_with_replacement(sorted(COLORS), 2))  # labels: which two colours are in a drawing


def packed(made):
    """Drawings as images uint8 (N, 32, 32, 3), with labels."""
    images = torch.stack([one.image for one in made]).permute(0, 2, 3, 1).contiguous()
    colors = [tuple(sorted(thing.color for thing in one.things)) for one in made]
    return Packed(images, torch.tensor([PAIRS.index(pair) for pair in colors]))


drawn = drawings(shortened(300, to=20), seed=1)
train, test = packed(drawings(shortened(2000, to=64), seed=0)), packed(drawn)
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
# Two networks of the same shape: a ViT with a *projector* behind its class token, which answers with one of {{ CODES }}
# codes. What the codes mean is up to them. A step goes like this (`learn/dino.py`, from vit's own blocks):
#
# 1. Make two *wide* views of each image, and four *narrow* ones of 16x16 pixels, a quarter of its area
#    (*multi-crop*).
# 2. The *teacher* looks at the wide views. From its answers the *centre* is subtracted, a running mean over all
#    images (*centering*), and a softmax at a low temperature makes them almost a single code (*sharpening*).
# 3. The *student* looks at all views and has to predict, from each, the teacher's code of each *other* one. From a
#    corner of the drawing it must tell what the whole is about.
# 4. Only the student gets gradients. The teacher then follows: each of its weights becomes 99 % itself and 1 % the
#    student's.

# %%
VARIED = AugmentParams(hflip=0.5, scale=0.3, translate=0.25, brightness=0.4, contrast=0.4, saturation=0.4)


def view(classifier, images, side, *key):
    """A random view of each image, (B, 3, side, side); `key` seeds it."""
    changes = draw_changes(len(images), VARIED, partial(seeded, *key))
    return augment(images, changes, (side, side), classifier.mean, classifier.std)


def views(classifier, images, step):
    wide = [view(classifier, images, SIZE, step, "wide", number) for number in range(2)]
    return wide, [view(classifier, images, SIZE // 2, step, "narrow", number) for number in range(4)]


wide, narrow = views(new(), train.images[:BATCH], step=0)
dino = Dino(featurizer(new()).model, GRID, CODES)
loss, targets = dino(wide, narrow)
print("wide", *(tuple(one.shape) for one in wide), "narrow", *(tuple(one.shape) for one in narrow))
print("targets", tuple(targets.shape), f"loss {loss:.2f}, ln {CODES} = {log(CODES):.2f}")


# %%
def distilled(steps, **changes):
    """Train DINO; returns its teacher, and `entropies` of its targets at each step."""
    classifier = new()
    dino = Dino(featurizer(classifier).model, GRID, CODES, **changes)
    weights = [weight for weight in dino.student.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, weight_decay=0.04)
    schedule, watched = recipe(epochs=1, lr=1e-3, warmup_epochs=0.1), []
    for step in range(steps):
        chosen = torch.randint(len(train), (BATCH,), generator=seeded("batch", step))
        dino.follow(momentum_at(step / steps))
        loss, targets = dino(*views(classifier, train.images[chosen], step))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps, schedule)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        watched.append(entropies(targets))
    return dino.teacher[0].eval(), np.array(watched)


teacher, watched = distilled(STEPS)

# %% [markdown]
# ## Two ways to say nothing
#
# How would we notice a collapse? The loss does not tell: one answer for all images is easy to predict. Watch the
# teacher's targets instead, with two entropies, each as a share of the largest possible, ln {{ CODES }}:
#
# - of *one* target: 0 if it is a single code, 1 if it is all codes alike;
# - of the *mean* target over the batch: 0 if all images get the same code, 1 if all codes are in use.
#
# Learning needs a low first and a high second number: sure about each image, different between images. Where both are
# equal, each image gets what all get, and the target says nothing. Take away either trick:

# %%
FEWER = shortened(100, to=2)
runs = {
    "DINO": watched,
    "no centering": distilled(FEWER, is_centred=False)[1],
    "no sharpening": distilled(FEWER, temperature=0.1)[1],
}
late = {name: entropy[-10:].mean(axis=0) for name, entropy in runs.items()}
for name, (own, together) in late.items():
    print(f"{name:14} one target {own:.2f}, mean target {together:.2f}, difference {together - own:.2f}")


def draw_entropies(figure):
    panels = figure.subplots(1, len(runs), sharey=True)
    for axes, (name, entropy) in zip(panels, runs.items(), strict=True):
        axes.plot(entropy[:, 1], label="mean target")
        axes.plot(entropy[:, 0], "--", label="one target")
        axes.set_title(name, fontsize=10)
        axes.set(xlabel="step", ylim=(-0.03, 1.03))
    panels[0].set_ylabel(f"entropy / ln {CODES}")
    panels[0].legend(fontsize=8)


_ = show(
    draw_entropies,
    "Entropy of one target and of the mean target over the steps of three trainings; the distance between the two "
    "curves is what targets say about their image.",
    height=2.4,
)
claim(
    "Caron et al. 2021, section 5.3",
    "without centering all images collapse to one code, without sharpening to the uniform answer; with both, to neither",
    "; ".join(f"{name}: entropy of one target {own:.2f}, of the mean {both:.2f}" for name, (own, both) in late.items()),
    holds=late["no centering"].max() < 0.1
    and late["no sharpening"].min() > 0.9
    and late["DINO"][1] - late["DINO"][0] > 0.1,
)

# %% [markdown]
# ## Does its attention find the objects?
#
# The class token of a block reads patches; its attention is a map of 8x8 (chapter 3), here the mean over heads. Two
# scores, on drawings that no model was trained on:
#
# - *peak*: how often the patch it reads most has its middle in one of the two boxes;
# - *IoU*: as in the paper, keep the fewest patches that hold 60 % of the attention, and divide the pixels they share
#   with the objects' exact masks by the pixels that either covers.
#
# And three models of one shape: untrained, DINO's teacher, and one that was trained with labels, namely which two
# colours are in the drawing.

# %%
masks = torch.stack([one.masks.any(dim=0) for one in drawn])  # (N, 32, 32)
in_box = torch.zeros_like(masks)
for index, one in enumerate(drawn):
    for top, left, bottom, right in one.boxes.tolist():
        in_box[index, top : bottom + 1, left : right + 1] = True
in_box = in_box[:, P // 2 :: P, P // 2 :: P].flatten(1)  # (N, 64): the middle of a patch


def kept(read):
    """Of attention (..., 64) the fewest patches that hold 60 %, as booleans."""
    share, order = (read / read.sum(dim=-1, keepdim=True)).sort(dim=-1, descending=True)
    return torch.zeros_like(read, dtype=torch.bool).scatter(-1, order, share.cumsum(dim=-1) - share < 0.6)


def iou(patches):
    """Mean intersection over union of patches (N, 64) and the objects' pixels."""
    pixels = patches.reshape(-1, *GRID).repeat_interleave(P, dim=1).repeat_interleave(P, dim=2)
    return ((pixels & masks).sum(dim=(1, 2)) / (pixels | masks).sum(dim=(1, 2))).mean().item()


def reads(model):
    """What the class token reads in each block, mean of heads: (blocks, N, 64)."""
    return pooled(attention_maps(model, x).mean(dim=2), model)


supervised = new()
_ = fit(supervised, train, recipe(augment=VARIED.model_dump()), steps=shortened(200, to=2))
print(f"with labels: {accuracy(supervised, test):.1%} of the colours of {len(test)} new drawings correct")
read = {"untrained": reads(new().model), "supervised": reads(supervised.model), "DINO": reads(teacher)}
generator = torch.Generator().manual_seed(0)
peak, overlap = {"chance": [in_box.float().mean().item()] * 3}, {}
overlap["chance"] = [iou(kept(one)[:, torch.randperm(64, generator=generator)]) for one in read["DINO"]]
for name, maps in read.items():
    peak[name] = [in_box.gather(1, one.argmax(dim=1)[:, None]).float().mean().item() for one in maps]
    overlap[name] = [iou(kept(one)) for one in maps]
print("                 peak in a box         IoU       blocks 1 to 3")
for name in peak:
    print(f"{name:12}", *(f"{value:6.0%}" for value in peak[name]), "   ", *(f"{value:6.2f}" for value in overlap[name]))
colored = test.images.max(dim=-1).values > test.images.min(dim=-1).values
print(f"all pixels that are not grey: IoU {((colored & masks).sum() / (colored | masks).sum()).item():.2f}")
