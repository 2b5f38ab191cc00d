# %% [markdown]
# # 1. An image is a sentence
#
# A transformer reads a sequence of vectors, the tokens: in a language model one per word, or piece of a word.
# It has no idea of rows, columns or neighbours. So how does it read a photograph?
#
# The answer of the Vision Transformer (ViT) fits into its paper's title: *An Image is Worth 16x16 Words*.
# Cut the image into squares of 16x16 pixels and call each square a word. That is this chapter's one idea.
# We cut a photograph, get back exactly what we cut, and see why nobody reads an image pixel by pixel.
# Before the cut comes preprocessing, and we measure what happens to a model's predictions if it is done wrong.

# %%
import time
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from learn.digits import digits, new_classifier
from learn.page import claim, shortened, show
from learn.training import accuracy, fit, recipe
from vit.data.batches import normalize, to_unit
from vit.data.images import load_image
from vit.models.vision_transformer import PatchEmbed

photograph = Path("studio/pictures/cat_and_person.jpg")
pixels = load_image(photograph, image_size=[224, 224], channels=3, fit="crop")
print("file ", Image.open(photograph).size, "width x height")
print("array", pixels.shape, pixels.dtype)

# %% [markdown]
# `load_image` is the only way from a file to numbers in this project: training, evaluation and serving all call it
# ([[vit.data.images.load_image]]). It decoded the file, scaled the shorter side to 224 pixels
# and cut off what was left over on the longer side. The photograph is a montage of NASA's portrait of Eileen Collins
# (public domain) and the cat Chelsea (CC0, Stefan van der Walt).
#
# ## Cut
#
# PyTorch wants images as (batch, channels, height, width), the values as floats. Then the cut is one `reshape`, which
# splits both sides in two, and one `permute`, which brings the two indices of the patch to the front.

# %%
x = to_unit(torch.tensor(pixels)[None])
print("image  ", tuple(x.shape), f"values from {x.min():.2f} to {x.max():.2f}")

P = 16


def patchify(x, P):
    """(B, C, H, W) to (B, N, C*P*P), one row per patch, patches row by row."""
    B, C, H, W = x.shape
    x = x.reshape(B, C, H // P, P, W // P, P)  # each side becomes (which patch, which pixel in it)
    x = x.permute(0, 2, 4, 1, 3, 5)  # (B, H/P, W/P, C, P, P)
    return x.reshape(B, (H // P) * (W // P), C * P * P)


patches = patchify(x, P)
print("patches", tuple(patches.shape))


# %%
def draw(figure):
    left, right = figure.subplots(1, 2)
    left.imshow(pixels)
    left.set_title("1 image")
    gap = 5  # pixels of nothing between the words
    canvas = np.zeros((14 * (P + gap) - gap, 14 * (P + gap) - gap, 4))
    for number, patch in enumerate(patches[0].reshape(196, 3, P, P)):
        row, column = (part * (P + gap) for part in divmod(number, 14))
        canvas[row : row + P, column : column + P, :3] = patch.permute(1, 2, 0)
        canvas[row : row + P, column : column + P, 3] = 1
    right.imshow(canvas)
    right.set_title("196 words")
    for axes in (left, right):
        axes.set_axis_off()


_ = show(draw, "A photograph of a person and a cat, and the same photograph cut into 14 by 14 squares.", height=2.6)

# %% [markdown]
# Read the right picture like a page: left to right, top to bottom. The sentence has 196 words, and a
# word is a row of 768 numbers: 3 colours times 16 times 16 pixels.
#
# ## Nothing is lost, and it is a convolution
#
# Cutting only moves numbers, so it can be undone. There is a second way to say it, which most code uses:
# a convolution whose kernel is as large as its stride visits each patch exactly once. If its 768 filters each pick
# one pixel, its output *is* the patches. The transposed convolution puts them back.

# %%
pick = torch.eye(768).reshape(768, 3, P, P)  # filter number i is 1 at pixel i of the patch, else 0
by_convolution = F.conv2d(x, pick, stride=P)  # (1, 768, 14, 14)
there = torch.equal(by_convolution.flatten(2).transpose(1, 2), patches)
back = torch.equal(F.conv_transpose2d(by_convolution, pick, stride=P), x)
print("convolution gives the patches, every bit:  ", there)
print("transposed convolution gives the image back:", back)

# %% [markdown]
# A ViT does not keep the 768 raw numbers. It multiplies each patch with one learned matrix, the *patch embedding*, and
# calls the result a token. In the project this is [[vit.models.vision_transformer.PatchEmbed]].
# Its weights have a convolution's shape, so that published weights fit, but it computes reshape and matrix product,
# because that was faster on every CPU that we measured. Are the two equal to the last bit with learned weights too?

# %%
torch.manual_seed(0)
embed = PatchEmbed(patch_size=P, in_chans=3, embed_dim=192)
with torch.no_grad():
    by_matrix = embed(x)  # (1, 196, 192)
    by_conv = embed.proj(x).flatten(2).transpose(1, 2)
    in_double = embed.double()(x.double())
same_bits = (by_matrix == by_conv).float().mean().item()
apart = (by_matrix - by_conv).abs().max().item()
rounding = (by_matrix - in_double).abs().max().item()
print("tokens", tuple(by_matrix.shape))
print(f"equal bits: {same_bits:.0%} of the numbers; largest difference: {apart:.1e}")
print(f"the matrix product's own rounding error:             {rounding:.1e}")
claim(
    "Dosovitskiy et al. 2020, section 3.1, and most tutorials",
    "cutting into patches and projecting them is a convolution with kernel = stride = patch size",
    f"moving pixels: equal to the last bit in both directions; with learned weights in float32 the largest "
    f"difference is {apart:.0e}, about the rounding error ({rounding:.0e})",
    holds=there and back and apart < 10 * rounding,
)

# %% [markdown]
# Both add the same 768 products, but in another order, and floating-point addition rounds. Mathematically equal is
# not the same as equal bits; [Exact resume](../explanation/exact-resume.md) is about where that matters.
#
# ## Why not read pixels?
#
# Attention compares every token with every other one. With N tokens that is N x N comparisons, numbers of 4 bytes, and
# a block makes several such tables, one per *head* (chapter 5). Let us count for one, and time it where it still fits.
# How the three lines of `attention_seconds` work is chapter 4; here only their cost matters.


# %%
def attention_seconds(N, dim=64):
    q, k, v = torch.randn(3, 1, N, dim)
    times = []
    for _ in range(3):
        began = time.perf_counter()
        ((q @ k.transpose(1, 2)).softmax(dim=-1) @ v).sum()
        times.append(time.perf_counter() - began)
    return min(times)


seconds = {}
for side in (32, 16, 8, 4, 2, 1):
    N = (224 // side) ** 2
    if shortened(3136, to=784) >= N:
        seconds[N] = attention_seconds(N)
    took = f"{1000 * seconds[N]:8.2f} ms" if N in seconds else "   not run"
    print(f"patches of {side:2} px: {N:6} tokens, {N * N:13,} comparisons = {4 * N * N / 1e6:8.1f} MB, {took}")

few, many = sorted(seconds)[-2:]
growth = seconds[many] / seconds[few]

# %% [markdown]
# From {{ few }} to {{ many }} tokens, four times as many, attention took {{ growth:.0f }} times as long here
# (16 would be exactly quadratic; a matrix that no longer fits into the processor's cache takes longer still). Single
# pixels would be 50,176 tokens and a matrix of 10 gigabytes, for one head of
# one block for one image. Patches of 16 pixels make it 0.15 megabytes. The patch size is the
# price that you choose: halve it, and the sequence is four times as long and attention up to sixteen times as dear.

# %%
claim(
    "Dosovitskiy et al. 2020, section 1",
    "attention between all pixels costs quadratically in their number and does not scale to realistic image sizes",
    f"4 times the tokens took {growth:.0f} times as long; 224x224 pixels need 10 GB per attention matrix",
    holds=growth > 8,
)

# %% [markdown]
# ## Before the cut: preprocessing
#
# The model never sees your file. It sees what resizing, cropping and normalizing made of it, and it only knows what
# they made of the *training* images. *Normalizing* means: subtract the mean of all training pixels and divide by their
# standard deviation. To see what a mismatch costs we train a small ViT on the project's digits (8x8 pixels, patches of
# 2, so a digit is a sentence of 16 words), and then show it test digits as somebody might scan them: six times as
# large, on a wide page. `fit` trains with the project's own recipe, for 500 changes of the weights; chapter 7 looks
# into it.

# %%
classifier = new_classifier(patch_size=2, embed_dim=64, depth=2, num_heads=4, mlp_ratio=2.0)
data = digits()
_ = fit(classifier, data.train, recipe(), steps=shortened(500, to=5))
print(f"packed test images: {accuracy(classifier, data.test):.1%} of {len(data.test)} correct")


def scan(digit):
    """A page of 48x80 pixels with the digit, 48x48, in its middle, as a PNG file."""
    page = Image.new("L", (80, 48))
    page.paste(Image.fromarray(digit).resize((48, 48), Image.Resampling.BICUBIC), (16, 0))
    file = BytesIO()
    page.save(file, format="png")
    return file


def predict(files, means_and_deviations=(classifier.mean, classifier.std), **preprocessing):
    settings = {"image_size": [8, 8], "channels": 1, "fit": "crop"} | preprocessing
    images = torch.from_numpy(np.stack([load_image(file, **settings) for file in files]))
    with torch.no_grad():
        return classifier.model(normalize(to_unit(images), *means_and_deviations)).argmax(dim=1)


count = shortened(len(data.test), to=40)
files = [scan(image[..., 0].numpy()) for image in data.test.images[:count]]
variants = {
    "as in training": {},
    "stretched instead of cropped": {"fit": "stretch"},
    "resized by nearest pixel": {"interpolation": "nearest"},
    "not normalized: values 0 to 1": {"means_and_deviations": ([0.0], [1.0])},
    "not normalized: values 0 to 255": {"means_and_deviations": ([0.0], [1 / 255])},
}
scores = {}
for name, change in variants.items():
    scores[name] = (predict(files, **change) == data.test.labels[:count]).float().mean().item()
    print(f"{name:32} {scores[name]:6.1%}")

# %%
right = scores["as in training"]
claim(
    "tutorials",
    "an image must be resized and normalized exactly as in training, or predictions suffer",
    f"correct: {right:.1%} as in training, {scores['stretched instead of cropped']:.1%} stretched, "
    f"{scores['resized by nearest pixel']:.1%} with another filter, "
    f"{scores['not normalized: values 0 to 1']:.1%} without normalization, "
    f"{scores['not normalized: values 0 to 255']:.1%} with bytes instead of floats",
    holds=all(score < right - 0.01 for name, score in scores.items() if name != "as in training"),
)

# %% [markdown]
# No error was raised in any row. That is what makes preprocessing dangerous, and why the project has one
# function for it, whose settings travel with the model ([[vit.inference.classifier.Classifier.classify]]).
#
# One row surprises: the scans are recognized better than the packed originals above. Our guess is augmentation.
# It turned, sheared and shifted every training image, each such resampling smooths a little, and a scan that was
# enlarged and reduced again is smooth, too. Then "as in training" would mean: like the images that the model saw,
# augmentation included. How would you test that guess? Train a second model with `recipe(augment=...)` set to zeros.
#
# ## Exercises
#
# **1.** How many tokens does an image of `height` x `width` pixels become with patches of `P`? Write `tokens(height,
# width, P)`. For some images there is no good answer, for example for 100x100 pixels and patches of 16. Raise a
# `ValueError` for all of these.


# %%
def check_1(tokens):
    assert tokens(224, 224, 16) == 196
    assert tokens(224, 224, 14) == 256
    assert tokens(32, 64, 4) == 128
    for height, width in ((100, 100), (224, 100), (100, 224), (8, 32)):
        try:
            count = tokens(height, width, 16)
        except ValueError:
            continue
        raise AssertionError(f"{height}x{width} is not {count} patches: pixels would be lost without a word")
    print("correct")


# %% answer
def tokens(height, width, P):
    if height % P or width % P:
        raise ValueError(f"{height}x{width} is not a multiple of {P}")
    return (height // P) * (width // P)


check_1(tokens)

# %% [markdown]
# **2.** Write `unpatchify(patches, P, height, width)`, the exact reverse of `patchify`, without a convolution.


# %%
def check_2(unpatchify):
    torch.manual_seed(1)
    image = torch.randn(2, 3, 32, 48)  # not square: a swapped height and width shows
    assert torch.equal(unpatchify(patchify(image, 8), 8, 32, 48), image)
    print("correct")


# %% answer
def unpatchify(patches, P, height, width):
    B, _, D = patches.shape
    x = patches.reshape(B, height // P, width // P, D // P**2, P, P)
    return x.permute(0, 3, 1, 4, 2, 5).reshape(B, D // P**2, height, width)


check_2(unpatchify)
