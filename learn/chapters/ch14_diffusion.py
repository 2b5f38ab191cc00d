# %% [markdown]
# # 14. The other way
#
# In every chapter until now an image went in and an answer came out. The same blocks can go the other way: a class goes
# in and an image comes out. That is a *Diffusion Transformer* (DiT), the kind of model behind many of today's image
# generators.
#
# It cannot write a digit in one go, because there are many digits that are a 7, and their average is a smear. So it
# starts with pure noise and improves it in small steps. At each step the network answers one question: *which way is
# the image?* Two things are new to our ViT: what it is trained to answer, and how a block is told the class and the
# time. We build both, let a classifier of this project judge the drawings, and ask whether they are copies.

# %%
import numpy as np
import torch

from learn.diffusion import CLASSES, DiT, DiTBlock, fit_flow, flow_loss, noised, sample
from learn.digits import digits, new_classifier, params
from learn.page import claim, shortened, show
from learn.training import fit, recipe
from vit.data.batches import to_unit

data = digits()
x, labels = 2 * to_unit(data.train.images) - 1, data.train.labels  # from -1, black, to 1, white
x_val, labels_val = 2 * to_unit(data.val.images) - 1, data.val.labels
print("images", tuple(x.shape), f"mean {x.mean():.2f}, variance {x.var():.2f}")

# %% [markdown]
# ## A straight line from a digit to noise
#
# Take a digit x and an image of noise of the same size, a random number per pixel. On the straight line between them
# lie the images (1 - t) x + t noise: at time t = 0 the digit, at t = 1 the noise ([[learn.diffusion.noised]]). Someone
# who walks along it moves with the constant *velocity* noise - x. The network sees a point of the line, t and the
# class, and has to tell this velocity; its loss is the mean squared error ([[learn.diffusion.flow_loss]]). It cannot
# know it exactly, since many lines pass through one point. The best it can do is their average, and that is all
# one needs: following it backwards leads from noise to digits.
#
# This is *flow matching* (Lipman et al. 2023). The DiT paper predicts the noise instead and curves the line by a
# schedule of noise levels. Both carry the same information: noise = point + (1 - t) velocity. We take the line
# because it needs no schedule, and because a sampler for it is one line of code.

# %%
generator = torch.Generator().manual_seed(0)
noise = torch.randn(x.shape, generator=generator)
for t in (0.0, 0.25, 0.5, 0.75, 1.0):
    point = noised(x, noise, torch.full((len(x),), t))
    print(f"t = {t:.2f}: variance {point.var():.3f}; by hand {(1 - t) ** 2 * x.var() + t**2:.3f}")
point, t = noised(x[:4], noise[:4], torch.full((4,), 0.3)), 0.3
assert torch.allclose(point + (1 - t) * (noise[:4] - x[:4]), noise[:4], atol=1e-6)

# %% [markdown]
# ## Tell a block what to draw
#
# Patches, positions, attention and MLP are those of chapter 4 ([[vit.models.vision_transformer.Block]]). What the class
# and the time are, two vectors whose sum is c, has to reach every token. In *adaLN* (adaptive LayerNorm) c replaces
# the norm's factor and bias: a linear layer turns it into a scale and a shift per feature. In *adaLN-Zero* it also
# makes a *gate*, a factor on what the layer adds:
#
#     x = x + gate1(c) * attn(norm1(x) * (1 + scale1(c)) + shift1(c))
#     x = x + gate2(c) * mlp(norm2(x) * (1 + scale2(c)) + shift2(c))
#
# "Zero" is how the linear layer starts. Then all gates are 0, and a fresh block hands every token on unchanged. In
# code: [[learn.diffusion.DiTBlock]].

# %%
torch.manual_seed(0)
model = DiT("adaLN-Zero")
block, tokens, c = DiTBlock(64, zero=True), torch.randn(2, 16, 64), torch.randn(2, 64)
print("image", tuple(x[:2].shape), "-> velocity", tuple(model(x[:2], torch.rand(2), labels[:2]).shape))
print("shifts, scales and gates of a block:", tuple(block.modulation(c).shape))
print("a fresh block changes nothing:", torch.equal(block(tokens, c), tokens))
count = sum(parameter.numel() for parameter in model.parameters())
modulations = sum(parameter.numel() for block in model.blocks for parameter in block.modulation.parameters())
print(f"{count:,} parameters, {modulations:,} of them to tell the blocks what to draw")

# %% [markdown]
# ## Draw
#
# The sampler starts with noise at t = 1, asks for the velocity, takes a small step against it, and repeats
# ([[learn.diffusion.sample]]). We do this at several moments of the training with the same ten images of noise, one
# per class.

# %%
STEPS = shortened(1500, to=4)  # of the optimizer
EULER = shortened(25, to=2)  # steps from noise to image
MOMENTS = [0, 100, 300, 700, STEPS]
ten = torch.arange(CLASSES)
drawn = {}


def watch(step):
    if step in MOMENTS:
        drawn[step] = sample(model, noise[:10], ten, guidance=2.0, steps=EULER)[-1, :, 0]


losses = fit_flow(model, x, labels, STEPS, watch=watch)
print(f"loss {losses[0]:.2f} -> {np.mean(losses[-50:]):.2f}")
print(
    f"a model that always answers 0 has {(1 + x.square().mean()).item():.2f}: the variance of the noise plus x squared"
)


def draw(figure):
    rows = figure.subplots(len(drawn), CLASSES)
    for row, (step, images) in zip(rows, drawn.items(), strict=True):
        for axes, image in zip(row, images, strict=True):
            axes.imshow(image, cmap="gray", vmin=-1, vmax=1)
            axes.set(xticks=[], yticks=[])
        row[0].set_ylabel(step, rotation=0, ha="right", va="center")
    for number, axes in enumerate(rows[0]):
        axes.set_title(number)
    figure.supylabel("optimizer steps", fontsize=11)


_ = show(
    draw,
    "Ten classes of digits, one per column, drawn from the same noise after more and more training steps: noise at "
    "first, legible digits at the end.",
    height=2.9,
)

# %% [markdown]
# The first row is the noise itself: the fresh model answers 0 everywhere, so no step moves.
#
# ## Let a classifier judge
#
# Do not judge a generator by its best pictures. We train the classifier of the project's preset and ask it about
# drawings of all classes: how many does it read as what was ordered? It is sometimes wrong itself, so compare with its
# score on real val images.
#
# There is a knob: *guidance*. During training the class of every tenth image was withheld, so the model also knows
# the velocity towards any digit. At guidance w the sampler follows free + w (class - free): at 1 simply the class,
# above 1 further away from what all digits have in common. We measure two more things. *Spread* is how far two
# drawings of a class are apart, and *nearest* how far a drawing is from the most similar train image of its class,
# both as root mean square over the pixels, which go from 0 to 1.

# %%
judge = new_classifier(**params().model.model_dump())
_ = fit(judge, data.train, recipe(), steps=shortened(400, to=4))
COUNT = shortened(400, to=20)
ordered = torch.arange(COUNT) % CLASSES
start = torch.randn(COUNT, 1, 8, 8, generator=generator)


def to_bytes(images):
    """(B, 1, 8, 8) from -1 to 1 to uint8 (B, 8, 8, 1), as a file would hold them."""
    return ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1)


def distances(images, others):
    """Root mean square over pixels, between uint8 (A, 8, 8, 1) and (B, 8, 8, 1): (A, B)."""
    return torch.cdist(to_unit(images).flatten(1), to_unit(others).flatten(1)) / 8


def nearest(images, labels):
    """Distance to the most similar train image of the same class, (A,)."""
    other_class = labels[:, None] != data.train.labels
    return distances(images, data.train.images).masked_fill(other_class, 9).min(dim=1).values


def spread(images, labels):
    """Mean distance of two images of a class, mean of the classes."""
    groups = [images[labels == number] for number in range(CLASSES)]
    return np.mean([distances(one, one).sum().item() / (len(one) * max(1, len(one) - 1)) for one in groups])


def judged(images, labels):
    right = (judge.logits(images).argmax(dim=1) == labels).float().mean().item()
    return {"right": right, "spread": spread(images, labels), "nearest": nearest(images, labels)}


real = judged(data.val.images, data.val.labels)
results = {}
for guidance in (0, 1, 1.5, 2, 3, 5):
    results[guidance] = judged(to_bytes(sample(model, start, ordered, guidance, EULER)[-1]), ordered)
for name, result in {
    "real val images": real,
    **{f"guidance {one:3}": result for one, result in results.items()},
}.items():
    print(
        f"{name:15} {result['right']:6.1%} read as ordered; spread {result['spread']:.3f}; "
        f"nearest {result['nearest'].mean():.3f}"
    )

# %% [markdown]
# At guidance 0 the class is not used at all, and a tenth is right by luck.

# %%
claim(
    "Ho & Salimans 2022",
    "guidance buys fidelity to the class and pays with diversity",
    f"from guidance 1 to 3 the share read as ordered goes from {results[1]['right']:.1%} to {results[3]['right']:.1%} "
    f"and the spread from {results[1]['spread']:.3f} to {results[3]['spread']:.3f} (real images: {real['right']:.1%}, "
    f"{real['spread']:.3f})",
    holds=results[3]["right"] > results[1]["right"] + 0.01 and results[3]["spread"] < 0.95 * results[1]["spread"],
)

# %% [markdown]
# ## Does it copy?
#
# A model that hands out its training images would satisfy the judge, too. So we compare with new images from the same
# source. A twentieth of the val images lies nearer to a train image than a certain distance. If the model drew new
# digits as people do, a twentieth of its drawings would, too. If it copied, far more would.

# %%
near = real["nearest"].quantile(0.05).item()
copies = (results[1]["nearest"] < near).float().mean().item()
closest = int(results[1]["nearest"].argmin())
print(f"nearer than {near:.3f} to a train image: 5% of val images, {copies:.1%} of the drawings at guidance 1")
print(f"the closest drawing is {results[1]['nearest'][closest]:.3f} from its train image (equal pixels: 0)")
claim(
    "Somepalli et al. 2023; Carlini et al. 2023, for large models",
    "diffusion models copy training images, more so if there are few",
    f"{copies:.1%} of the drawings are as near to a train image as the nearest 5 % of real val images, after "
    f"{STEPS} steps on {len(x)} images",
    holds=copies > 0.25,
    at_any_size=False,
)

# %% [markdown]
# ## Is the zero worth it?
#
# The paper compared ways of telling the blocks the class, and adaLN-Zero won. We repeat three of them for the same few
# steps with two seeds each: adaLN-Zero; adaLN, which is the same without gates; and *in-context*, plain blocks that
# read time and class as two more tokens. The score is the loss on val images, always with the same noise and times.

# %%
draws = [torch.randn(x_val.shape, generator=generator) for _ in range(6)]
times = torch.rand(6, len(x_val), generator=generator)


@torch.no_grad()
def val_loss(model):
    pairs = zip(times, draws, strict=True)
    return np.mean([flow_loss(model, x_val, labels_val, t, noise).item() for t, noise in pairs])


FEW = shortened(250, to=2)
ends = {}
for conditioning in ("adaLN-Zero", "adaLN", "in-context"):
    for seed in (0, 1):
        torch.manual_seed(seed)
        other = DiT(conditioning)
        _ = fit_flow(other, x, labels, FEW, seed)
        ends.setdefault(conditioning, []).append(val_loss(other))
    size = sum(parameter.numel() for parameter in other.parameters())
    print(
        f"{conditioning:10} val loss {ends[conditioning][0]:.3f} and {ends[conditioning][1]:.3f}; {size:,} parameters"
    )
print(f"after {STEPS} steps, adaLN-Zero: {val_loss(model):.3f}")
by_luck = max(abs(first - second) for first, second in ends.values())
mean = {conditioning: np.mean(pair) for conditioning, pair in ends.items()}
claim(
    "Peebles & Xie 2023, section 5 and figure 5",
    "adaLN-Zero learns faster than adaLN without the zero and than conditions as tokens",
    f"val loss after {FEW} steps {mean['adaLN-Zero']:.3f}, {mean['adaLN']:.3f} without gates and "
    f"{mean['in-context']:.3f} with tokens (two seeds differ by up to {by_luck:.3f})",
    holds=mean["adaLN-Zero"] < min(mean["adaLN"], mean["in-context"]) - by_luck,
    at_any_size=False,
)

# %% [markdown]
# The paper's models had up to 28 blocks and trained for 400,000 steps before they were compared; a gate that starts at
# zero is help for deep stacks. What does not depend on size: tokens cost attention at every block, and adaLN costs
# parameters.
#
# ## Exercises
#
# **1.** With the true velocity one needs no small steps: the line is straight. Write `jump(point, velocity, t)` that
# returns the digit x at the line's beginning, for images (B, 1, 8, 8) and times t (B,).


# %%
def check_1(jump):
    t = torch.linspace(0.05, 0.95, 50)
    point = noised(x[:50], noise[:50], t)
    assert torch.allclose(jump(point, noise[:50] - x[:50], t), x[:50], atol=1e-5), "these are not the digits"
    print("correct. A network knows only the average velocity of all lines through a point, and so needs small steps")


# %% answer
def jump(point, velocity, t):
    return point - t[:, None, None, None] * velocity


check_1(jump)

# %% [markdown]
# **2.** In a fresh DiT with adaLN-Zero the modulations are zero, and so is the `head`, the last layer. After how many
# optimizer steps does the first block's `attn.qkv.weight` have a gradient other than zero for the first time? Think
# which factor of the chain rule is zero, and which of them the first step changes.


# %%
def check_2(steps):
    assert isinstance(steps, int) and 0 <= steps < 10, "a small integer"
    for done, expected in ((steps - 1, False), (steps, True)):
        if done < 0:
            continue
        torch.manual_seed(0)
        fresh = DiT("adaLN-Zero", depth=2)
        _ = fit_flow(fresh, x, labels, done)
        flow_loss(fresh, x[:20], labels[:20], torch.full((20,), 0.5), noise[:20]).backward()
        gradient = fresh.blocks[0].attn.qkv.weight.grad
        has = gradient is not None and bool(gradient.any())
        assert has == expected, f"after {done} steps it is {'not zero' if has else 'zero'}"
    print("correct: the first step moves the head, the second the gates, and then the block is reached")


# %% answer
check_2(2)
