# %% [markdown]
# # 0. Why vision became a sequence
#
# For thirty years the tool for images was the convolution: a small window that slides over the image and computes the
# same thing everywhere. It sees locally *on purpose*, and depth lets it see more. Then, in 2020, a model from language
# took over that does not slide at all: the *transformer*. It reads an image as a sequence of pieces, each piece a
# vector called a *token*, and each token may look at every other one from the first layer on. This looking is called
# *attention*, and a layer of a transformer a *block*. Chapters 1 to 6 build all of it, slowly.
#
# This chapter measures that one difference: **how far can one position see, after each layer?** We ask the models
# themselves, without training.
#
# Four helpers return in every chapter. `digits()` loads the handwritten digits that this project trains on by default,
# and `new_classifier(...)` builds an untrained model for them. `show` puts a picture on the page. `claim` takes a
# sentence from the literature and a criterion, and prints whether our measurement met it: **true**, **false**, or **not
# at this size** where the sentence is about larger models ([all claims](claims.md)).

# %%
import torch

from learn.digits import digits, new_classifier
from learn.page import claim, show

SIDE, P = 32, 4
preprocessing = digits().preprocessing | {"image_size": [SIDE, SIDE]}
cnn = new_classifier(0, preprocessing, name="cnn").model.eval()
vit = new_classifier(
    0, preprocessing, patch_size=P, embed_dim=64, depth=4, num_heads=4, mlp_ratio=2.0, pool="avg"
).model.eval()
x = torch.randn(16, 1, SIDE, SIDE)
print("image             ", tuple(x.shape))
print("after CNN layer 1 ", tuple(cnn.features[0](x).shape))
print("after CNN layer 4 ", tuple(cnn.features(x).shape))
print("tokens of the ViT ", tuple(vit.embed(x).shape))
print("after ViT block 4 ", tuple(vit.blocks(vit.embed(x)).shape))

# %% [markdown]
# The CNN (convolutional neural network) is the project's baseline, four 3x3 convolutions of which the last three move
# in steps of two pixels, a *stride* of 2, and so halve the image ([[vit.models.baselines.SmallCNN]]). The Vision
# Transformer, ViT for short, is [[vit.models.vision_transformer.VisionTransformer]], with patches of {{ P }}x{{ P }}
# pixels and four blocks. Its 64 tokens are 8 rows of 8 patches. Do not worry about its other settings yet.
#
# ## Ask the gradient
#
# Take the middle position of a layer's output. Which pixels of the image can change it? The gradient knows: for each
# pixel it says how much the output changes if the pixel does. Where it is not zero, the pixel is seen. That region is
# the *receptive field*. We average the gradient's size over 16 images of noise.


# %%
def seen(layers, x):
    """Size of the gradient of the middle position's features by pixel, (H, W), summing to 1."""
    x = x.clone().requires_grad_()
    out = layers(x)
    if out.ndim == 4:  # a CNN's map: (B, C, h, w)
        middle = out[:, :, out.shape[2] // 2, out.shape[3] // 2]
    else:  # tokens: (B, N, D), row by row
        across = SIDE // P
        middle = out[:, across * (across // 2) + across // 2]
    weights = torch.randn(middle.shape[1], generator=torch.Generator().manual_seed(0))  # a random mix of features
    (gradient,) = torch.autograd.grad((middle * weights).sum(), x)
    size = gradient.abs().sum(dim=(0, 1))
    return size / size.sum()


def width(size):
    """Side in pixels of the smallest square that holds everything seen: the longer of the two sides."""
    rows, columns = (size > 0).any(dim=1).nonzero(), (size > 0).any(dim=0).nonzero()
    return int(max(rows.max() - rows.min(), columns.max() - columns.min())) + 1


maps = {
    "CNN": [seen(cnn.features[:depth], x) for depth in range(1, 5)],
    "ViT": [seen(lambda one, depth=depth: vit.blocks[:depth](vit.embed(one)), x) for depth in range(1, 5)],
}
widths = {name: [width(size) for size in sizes] for name, sizes in maps.items()}
for name, sides in widths.items():
    print(f"{name}: sees {', '.join(f'{side}x{side}' for side in sides)} of {SIDE}x{SIDE} pixels after layers 1 to 4")


def draw(figure):
    panels = figure.subplots(2, 4)
    for row, (name, sizes) in zip(panels, maps.items(), strict=True):
        for depth, (axes, size) in enumerate(zip(row, sizes, strict=True), 1):
            axes.imshow((size / size.max()).pow(0.3), cmap="inferno")  # the power shows what is faint
            axes.set(title=f"{name}, {depth}", xticks=[], yticks=[])


_ = show(
    draw,
    "What the middle position sees of the image after layers 1 to 4: in the CNN a square that grows, in the ViT the "
    "whole image from the first block on, its own patch most.",
    height=2.9,
)

# %%
claim(
    "tutorials; Dosovitskiy et al. 2020, section 1",
    "a convolution sees locally and needs depth, while attention sees the whole image from the first layer on",
    f"side of what one position sees after layers 1 to 4, of {SIDE} pixels: CNN {widths['CNN']}, ViT {widths['ViT']}",
    holds=widths["CNN"][0] == 3 and widths["CNN"][-1] < SIDE and widths["ViT"] == [SIDE] * 4,
)

# %% [markdown]
# In the picture, the brighter a pixel, the more it changes the middle position; black ones hardly do, or not at all.
#
# That a pixel *can* matter does not say how much it does. In a CNN more paths lead to the middle of the field than to
# its rim, so the middle should weigh more. And an untrained ViT sees everything, but itself most: the
# residual connection (chapter 6) carries a token's own patch along. How much more?

# %%
inner, kept = {}, {}
for name, sizes in maps.items():
    size = sizes[-1]
    far, side = (size > 0).nonzero(), widths[name][-1]
    top, left = far.min(dim=0).values.tolist()
    quarter = side // 4
    inner[name] = size[top + quarter : top + side - quarter, left + quarter : left + side - quarter].sum().item()
    kept[name] = (side - 2 * quarter) ** 2 / side**2
    print(f"{name}: the middle {kept[name]:.0%} of its field has {inner[name]:.0%} of the gradient")
own = maps["ViT"][-1][SIDE // 2 : SIDE // 2 + P, SIDE // 2 : SIDE // 2 + P].sum().item()
print(f"ViT: its own patch, {P * P / SIDE**2:.1%} of the pixels, has {own:.0%}")
claim(
    "Luo et al. 2016",
    "the effective receptive field of a CNN is much smaller than the theoretical one",
    f"the middle {kept['CNN']:.0%} of the field after four layers has {inner['CNN']:.0%} of the gradient",
    holds=inner["CNN"] > 0.5,
    at_any_size=False,
)

# %% [markdown]
# The middle of the CNN's field weighs more than its area, {{ inner["CNN"]:.0% }} instead of {{ kept["CNN"]:.0% }}, but
# "much smaller" is a sentence about deep networks: four layers with strides use most of their field.
#
# ## What one gives up
#
# The convolution's narrow view is a belief: what belongs together lies together, and means the same
# everywhere. A ViT starts without it. It has to learn from data which pieces belong together, and even where they are
# (chapter 2). In return nothing is out of reach, the same block also reads text, and more data keeps helping.
#
# ## The map of this book
#
# | question | chapters |
# |---|---|
# | How does an image become a sequence, and what is lost? | 1, 2 |
# | How do the pieces talk, and who speaks for all? | 3, 4, 5 |
# | What makes a stack of it learn? | 6, 7 |
# | When is it better than a CNN? | [Little data](../results/little-data.md) |
# | How do I know what it looks at? | 15 |
#
# ## Exercises
#
# **1.** How large is the receptive field of a position after four 3x3 convolutions with strides 1, 2, 2, 2? Before the
# first layer a position sees 1 pixel. Each layer adds 2 times the distance, in pixels of the image, between
# neighbouring positions of its *input*. Write `field(strides)` for any list of strides.


# %%
def check_1(field):
    assert [field([1, 2, 2, 2][:depth]) for depth in range(1, 5)] == widths["CNN"], "compare with the measured widths"
    assert field([1, 1, 1]) == 7, "without strides, each layer adds 2"
    assert field([2, 1, 3]) == 11, "the distance between neighbours is the product of all strides before"
    print("correct: equal to what the gradient showed")


# %% answer
def field(strides):
    size, step = 1, 1
    for stride in strides:
        size += 2 * step
        step *= stride
    return size


check_1(field)

# %% [markdown]
# **2.** How many 3x3 convolutions of stride 1 does it take until the middle of a 224x224 image sees its whole
# width? Give the smallest number.


# %%
def check_2(layers):
    assert isinstance(layers, int), "give an integer"
    assert 1 + 2 * layers >= 224, f"after {layers} layers it sees {1 + 2 * layers} pixels"
    assert 1 + 2 * (layers - 1) < 224, "fewer are enough"
    print("correct. A ViT needs one block; deep CNNs shrink the image instead")


# %% answer
check_2(112)
