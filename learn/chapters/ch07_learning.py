# %% [markdown]
# # 7. Learning
#
# Until now training was one line, `fit(...)`. Behind it is a loop that you could write on a napkin: take a batch,
# compute the loss, compute its gradient for every weight, and move each weight a little. Nearly all that goes wrong in
# practice goes wrong here, and it goes wrong silently: a bad run ends with a number too.
#
# So the idea of this chapter is to *read curves*. We check two numbers before a real training, then make one
# good run and several bad ones on purpose, and look at what gives each of them away.

# %%
import math

import torch
import torch.nn.functional as F

from learn.digits import digits, new_classifier
from learn.page import claim, shortened, show
from learn.training import accuracy, fit, per_step, recipe
from vit.data.batches import Packed
from vit.evaluation.explain import model_input
from vit.training.optim import learning_rate, new_optimizers

data = digits()
STEPS = shortened(200, to=3)


def new(seed=0):
    return new_classifier(seed, patch_size=2, embed_dim=64, depth=3, num_heads=4, mlp_ratio=2.0, pool="avg")


# %% [markdown]
# ## The loss at the start
#
# The cross-entropy of a prediction is minus the logarithm of the probability given to the true class. An untrained
# model knows nothing, so it should give 1/10 to each of ten classes, and the loss should be ln 10. A larger loss at
# step 0 means that the model starts out confident, and wrong.

# %%
untrained = new()
x, labels = model_input(untrained, data.train.images), data.train.labels
with torch.no_grad():
    logits = untrained.model(x)
    at_start = F.cross_entropy(logits, labels).item()
    untrained.model.head.weight.zero_()
    with_zero_head = F.cross_entropy(untrained.model(x), labels).item()
print(f"ln 10 = {math.log(10):.3f}; untrained {at_start:.3f}, with a head of zeros {with_zero_head:.3f}")
print(f"an untrained model's largest probability: {logits.softmax(dim=1).max(dim=1).values.mean():.2f} on average")
claim(
    "Karpathy 2019, A recipe for training neural networks",
    "the loss at the start should be -ln(1 / classes)",
    f"{at_start:.2f} with the project's initial weights, {with_zero_head:.3f} if the head starts at zero; ln 10 is "
    f"{math.log(10):.3f}",
    holds=abs(at_start - math.log(10)) < 0.1,
)

# %% [markdown]
# ## Overfit a hundred images
#
# The cheapest test of a whole training: can the model learn a hundred images by heart, without augmentation and
# without label smoothing? If it cannot, something is broken, and no amount of data will mend it. `vit check` runs a
# test like it on your own data before a long training ([Check a configuration](../guides/check.md)).

# %%
hundred = Packed(data.train.images[:1078:11][:100], data.train.labels[:1078:11][:100])
plain = dict.fromkeys(recipe().augment.model_dump(), 0.0)
by_heart = new()
losses = fit(by_heart, hundred, recipe(augment=plain, label_smoothing=0.0), STEPS)
memorized, generalized = accuracy(by_heart, hundred), accuracy(by_heart, data.val)
print(f"loss {losses[0]:.2f} -> {losses[-1]:.4f}; {memorized:.1%} of the 100 correct, {generalized:.1%} of val")
claim(
    "Karpathy 2019, A recipe for training neural networks",
    "a sound model and loop reach a loss near zero on a few images",
    f"{memorized:.0%} of 100 images and a loss of {losses[-1]:.4f} after {STEPS} steps",
    holds=memorized == 1 and losses[-1] < 0.01,
)

# %% [markdown]
# The distance between {{ memorized:.0% }} and {{ generalized:.0% }} is what overfitting means.
#
# ## One good run, and bad ones
#
# The recipe of the preset: learning rate 2e-3 with warm-up and cosine, Muon for the matrices of the blocks and AdamW
# for the rest, weight decay 0.05, augmentation, label smoothing 0.1. In code: [[vit.training.optim.new_optimizers]]
# and [[vit.training.optim.learning_rate]].

# %%
schedule = [learning_rate(step, 25, recipe(epochs=10, warmup_epochs=2.0)) for step in (0, 25, 49, 50, 150, 249)]
print("learning rate at steps 0, 25, 49, 50, 150, 249:", " ".join(f"{rate:.1e}" for rate in schedule))
for optimizer in new_optimizers(new().model, recipe()):
    for group in optimizer.param_groups:
        count = sum(parameter.numel() for parameter in group["params"])
        print(f"{type(optimizer).__name__:12} {count:7,} parameters, weight decay {group['weight_decay']}")

# %% [markdown]
# AdamW gives every weight its own step size, from a running average of its gradients and of their squares. Muon takes
# the gradient of a whole matrix and makes all its directions equally strong. Biases and norms are not decayed: there
# is nothing to gain from small ones.

# %%
generator = torch.Generator().manual_seed(0)
mixed_up = Packed(data.train.images, data.train.labels[torch.randperm(len(data.train), generator=generator)])
RUNS = {
    "good": {},
    "AdamW": {"optimizer": "adamw"},
    "no warm-up": {"warmup_epochs": 0.0},
    "no weight decay": {"weight_decay": 0.0},
    "rate too low": {"optimizer": "adamw", "lr": 2e-5},
    "rate too high": {"optimizer": "adamw", "lr": 0.1},
    "shuffled labels": {"augment": plain},
}
curves, scores = {}, {}
for name, changes in RUNS.items():
    classifier = new()
    part = mixed_up if name == "shuffled labels" else data.train
    curves[name] = fit(classifier, part, recipe(**{"warmup_epochs": 2.0} | changes), STEPS)
    scores[name] = accuracy(classifier, data.val)
    print(
        f"{name:16} loss {curves[name][0]:.2f}, half-way {curves[name][STEPS // 2]:.2f}, end {curves[name][-1]:.2f}; "
        f"val {scores[name]:.1%}"
    )


# %%
def draw(figure):
    axes = figure.subplots()
    for name, style in (("good", "-"), ("rate too low", "--"), ("rate too high", "-."), ("shuffled labels", ":")):
        axes.plot(per_step(curves[name]), style, label=name)
    axes.axhline(math.log(10), linewidth=1, linestyle=(0, (1, 3)), color="C5")
    axes.text(STEPS, math.log(10) - 0.04, "ln 10", ha="right", va="top", color="C5")
    axes.set(xlabel="optimizer step", ylabel="train loss (mean of 20 steps)", ylim=(0.4, 3.4))
    axes.legend(ncols=2, loc="upper right", fontsize=9)


_ = show(draw, "The training loss of a good run and of three bad ones over the optimizer steps.", height=3.6)

# %% [markdown]
# How to tell them apart:
#
# - **good** falls fast, then slowly, and ends flat because the learning rate does.
# - **rate too low** comes down from its confident start to ln 10 and stays there: it has learned to be unsure, and
#   hardly more.
# - **rate too high** sits at ln 10 as well, the loss of a constant prediction. It begins to learn when the cosine has
#   brought the rate down, too late for this run.
# - **shuffled labels** cannot do better than ln 10, except by heart.
#
# Half-way the three bad runs stand at {{ curves["rate too low"][STEPS // 2]:.2f }},
# {{ curves["rate too high"][STEPS // 2]:.2f }} and {{ curves["shuffled labels"][STEPS // 2]:.2f }}. That is the point:
# a curve tells *that* something is wrong. A second experiment tells what. Raise the rate tenfold, then lower it
# tenfold. If neither helps, stop turning knobs and look at images beside their labels.
#
# ## What the parts are worth

# %%
claim(
    "Jordan et al. 2024; this project's recipe",
    "Muon learns faster than AdamW",
    f"val accuracy {scores['good']:.1%} with Muon and {scores['AdamW']:.1%} with AdamW after {STEPS} steps at the "
    "same learning rate, train loss "
    f"{per_step(curves['good'])[-1]:.2f} and {per_step(curves['AdamW'])[-1]:.2f}",
    holds=(per_step(curves["good"])[-1] < per_step(curves["AdamW"])[-1] - 0.01).item(),
)
claim(
    "Vaswani et al. 2017; Dosovitskiy et al. 2020, appendix B",
    "a transformer needs learning-rate warm-up",
    f"val accuracy {scores['good']:.1%} with and {scores['no warm-up']:.1%} without",
    holds=scores["no warm-up"] < scores["good"] - 0.02,
    at_any_size=False,
)
claim(
    "Dosovitskiy et al. 2020, section 4.1; Steiner et al. 2021",
    "weight decay matters for ViTs",
    f"val accuracy {scores['good']:.1%} with 0.05 and {scores['no weight decay']:.1%} without",
    holds=scores["no weight decay"] < scores["good"] - 0.01,
    at_any_size=False,
)

# %% [markdown]
# ## Exercises
#
# **1.** A model for 1,000 classes starts with a loss of 11.5. What should it be? Give it to two digits after the point.


# %%
def check_1(loss):
    logits = torch.zeros(1, 1000)
    assert abs(loss - F.cross_entropy(logits, torch.tensor([3])).item()) < 0.006, "what does each of 1,000 classes get?"
    print("correct: at 11.5 it starts out confident and wrong; look at the scale of the head")


# %% answer
check_1(6.91)

# %% [markdown]
# **2.** Write `rate(step, warmup, total, peak)`: linear from peak / warmup at step 0 to peak at step warmup - 1,
# then half a period of a cosine from peak at step `warmup` down to 0 at step `total`.


# %%
def check_2(rate):
    settings = recipe(epochs=20, warmup_epochs=3.0, lr=0.01)
    for step in (0, 1, 29, 30, 31, 100, 199):
        assert abs(rate(step, 30, 200, 0.01) - learning_rate(step, 10, settings)) < 1e-9, f"at step {step}"
    print("correct: equal to the project's schedule")


# %% answer
def rate(step, warmup, total, peak):
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * (1 + math.cos(math.pi * (step - warmup) / (total - warmup))) / 2


check_2(rate)
