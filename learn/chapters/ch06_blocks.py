# %% [markdown]
# # 6. Twelve blocks
#
# Attention alone is not yet a transformer. Around it stand three plain helpers: an MLP that works on each token,
# a *residual connection* that adds a result instead of replacing what was there, and a *norm* that keeps
# numbers at one scale. With them one can stack twelve blocks. We take each helper away, one at a time, and
# see what it was for.

# %%
import torch
from torch import nn

from learn.digits import digits, new_classifier
from learn.page import claim, shortened, show
from learn.training import accuracy, fit, per_step, recipe
from vit.evaluation.explain import model_input
from vit.models.vision_transformer import Block

DEPTH = 12
data = digits()


def new(**changes):
    shape = {"patch_size": 2, "embed_dim": 32, "depth": DEPTH, "num_heads": 4, "mlp_ratio": 2.0, "pool": "avg"}
    return new_classifier(**shape | changes)


# %% [markdown]
# A block of the project in two lines ([[vit.models.vision_transformer.Block.forward]]), without what is off by default:
#
#     x = x + attn(norm1(x))
#     x = x + mlp(norm2(x))
#
# Read it as a road with two side streets. The tokens drive along x, the *residual stream*; attention and MLP each
# look at a normalized copy and add a correction. As the norm stands in the side street, before the
# layer, this is called *pre-norm*. Now the variants, each of them one change:


# %%
class WithoutResiduals(Block):
    """Results replace the tokens instead of being added."""

    def forward(self, x):
        return self.mlp(self.norm2(self.attn(self.norm1(x))))


class PostNorm(Block):
    """The norm stands on the road, after each addition, as in the transformer of 2017."""

    def forward(self, x):
        x = self.norm1(x + self.attn(x))
        return self.norm2(x + self.mlp(x))


class Nothing(nn.Module):
    """Adds zero."""

    def forward(self, x):
        return torch.zeros_like(x)


def build(variant):
    classifier = new(norm="rmsnorm") if variant == "RMSNorm" else new()
    for block in classifier.model.blocks:
        if variant == "no residuals":
            block.__class__ = WithoutResiduals
        elif variant == "post-norm":
            block.__class__ = PostNorm
        elif variant == "no norms":
            block.norm1 = block.norm2 = nn.Identity()
        elif variant == "no MLPs":
            block.mlp = Nothing()
    return classifier


VARIANTS = ("LayerNorm", "RMSNorm", "post-norm", "no norms", "no residuals", "no MLPs")
images = model_input(new(), data.val.images[:100])

# %% [markdown]
# ## Before any training
#
# Three numbers tell much before the first step. How large do the tokens become from block to block? How similar do
# the tokens of an image become? (Cosine between them; at 1 all tokens are equal and there is nothing left
# to compare.) And how large is the gradient in the first block compared with that in the last?


# %%
def stream(classifier):
    """Per block, after it: size of the tokens (root of the mean square) and mean cosine between those of an image."""
    x, sizes, alike = classifier.model.embed(images), [], []
    with torch.no_grad():
        for block in classifier.model.blocks:
            x = block(x)
            sizes.append(x.square().mean().sqrt().item())
            unit = nn.functional.normalize(x, dim=-1)
            cosines = unit @ unit.transpose(1, 2)
            N = cosines.shape[1]
            alike.append(((cosines.sum(dim=(1, 2)) - N) / (N * (N - 1))).mean().item())
    return sizes, alike


def gradient_ratio(classifier):
    """Size of the first block's gradient relative to the last's, of the attention's output matrix."""
    logits = classifier.model(images)
    nn.functional.cross_entropy(logits, data.val.labels[: len(images)]).backward()
    first, last = (classifier.model.blocks[number].attn.proj.weight.grad.norm() for number in (0, -1))
    classifier.model.zero_grad()
    return (first / last).item()


alike_by_block, ratio = {}, {}
for variant in VARIANTS:
    classifier = build(variant)
    sizes, alike_by_block[variant] = stream(classifier)
    ratio[variant] = gradient_ratio(classifier)
    print(
        f"{variant:12} size {sizes[0]:9.2g} -> {sizes[-1]:9.2g}; cosine {alike_by_block[variant][0]:.2f} -> "
        f"{alike_by_block[variant][-1]:.2f}; gradient first/last {ratio[variant]:.2g}"
    )

claim(
    "Dong et al. 2021",
    "without residual connections attention makes all tokens of an input alike",
    f"mean cosine between tokens after 12 blocks {alike_by_block['no residuals'][-1]:.2f} without residuals and "
    f"{alike_by_block['LayerNorm'][-1]:.2f} with them",
    holds=alike_by_block["no residuals"][-1] > 0.95 > alike_by_block["LayerNorm"][-1],
)

# %% [markdown]
# ## Train all six
#
# Same recipe, one seed, and few steps: twelve narrow blocks learn slowly, so this is a race over the first stretch and
# tells who gets going, not who arrives.

# %%
losses, scores = {}, {}
for variant in VARIANTS:
    classifier = build(variant)
    losses[variant] = fit(classifier, data.train, recipe(), steps=shortened(150, to=2))
    scores[variant] = accuracy(classifier, data.val)
    print(f"{variant:12} loss {losses[variant][0]:5.2f} -> {losses[variant][-1]:.2f}; val {scores[variant]:.1%}")


def draw(figure):
    axes = figure.subplots()
    styles = ("-", "--", "-.", ":", "-", "--")
    for (variant, values), style in zip(losses.items(), styles, strict=True):
        axes.plot(per_step(values), style, label=variant)
    axes.set(xlabel="optimizer step", ylabel="train loss (mean of 20 steps)", ylim=(0.4, 3))
    axes.legend(ncols=2, loc="upper right", fontsize=9)


_ = show(draw, "Training loss of six variants of a twelve-block ViT over the steps.", height=3.6)

# %% [markdown]
# Chance is 10 %, and ln 10 = 2.30 is the loss of a model that gives each class 10 %. Without norms or without residuals
# the loss hangs there for long. With all parts it never does. Two shares of {{ len(data.val) }} images differ clearly
# from about 10 points on (two standard errors of their difference).

# %%
CLEAR = 0.1
claim(
    "tutorials; He et al. 2016",
    "a deep network cannot be trained without residual connections",
    f"12 blocks without them: {scores['no residuals']:.1%} of val after the steps in which the full model reaches "
    f"{scores['LayerNorm']:.1%}",
    holds=scores["no residuals"] < 0.15,
)
claim(
    "tutorials",
    "a transformer cannot be trained without normalization",
    f"12 blocks without norms: {scores['no norms']:.1%} against {scores['LayerNorm']:.1%}",
    holds=scores["no norms"] < 0.15,
    at_any_size=False,
)
claim(
    "Zhang & Sennrich 2019; tutorials",
    "RMSNorm, which does not subtract the mean, does as well as LayerNorm",
    f"val accuracy {scores['RMSNorm']:.1%} and {scores['LayerNorm']:.1%}",
    holds=scores["RMSNorm"] > scores["LayerNorm"] - 0.02,
)
claim(
    "Xiong et al. 2020",
    "pre-norm trains more easily than post-norm",
    f"val accuracy {scores['LayerNorm']:.1%} with pre-norm and {scores['post-norm']:.1%} with post-norm, same recipe",
    holds=scores["LayerNorm"] > scores["post-norm"] + CLEAR,
    at_any_size=False,
)
claim(
    "tutorials",
    "the MLP is needed: attention alone only mixes tokens linearly",
    f"val accuracy {scores['no MLPs']:.1%} without MLPs and {scores['LayerNorm']:.1%} with them",
    holds=scores["no MLPs"] < scores["LayerNorm"] - CLEAR,
    at_any_size=False,
)

# %% [markdown]
# ## LayerNorm and RMSNorm by hand
#
# LayerNorm subtracts the mean of a token's features and divides by their deviation; RMSNorm only divides by the root
# of the mean square. Both work on one token alone: no other token, no other image of the batch.

# %%
token = torch.tensor([[1.0, 2.0, 3.0, 6.0]])
by_hand = (token - token.mean()) / token.var(correction=0).sqrt()
print("LayerNorm", nn.LayerNorm(4)(token).detach().numpy().round(3), "by hand", by_hand.numpy().round(3))
by_hand = token / token.square().mean().sqrt()
print("RMSNorm  ", nn.RMSNorm(4)(token).detach().numpy().round(3), "by hand", by_hand.numpy().round(3))

# %% [markdown]
# ## Exercises
#
# **1.** Which half of a block has more parameters, `"attention"` or `"mlp"`, if the MLP is four times as wide as the
# tokens (`mlp_ratio` 4, as usual)? And at which `mlp_ratio` would the matrices of both have equally many entries? Count
# by hand, as in chapter 4, and give `check_1(name, ratio)`.


# %%
def check_1(half, equal_at):
    def matrices(module):
        return sum(weight.numel() for weight in module.parameters() if weight.ndim == 2)

    block = new(mlp_ratio=4.0, depth=1).model.blocks[0]
    sizes = {"attention": matrices(block.attn), "mlp": matrices(block.mlp)}
    assert half == max(sizes, key=sizes.get), f"their matrices have {sizes} entries"
    block = new(mlp_ratio=float(equal_at), depth=1).model.blocks[0]
    assert matrices(block.attn) == matrices(block.mlp), f"{matrices(block.attn)} and {matrices(block.mlp)}"
    print("correct: attention has 4 D x D, the MLP 2 x ratio x D x D")


# %% answer
check_1("mlp", 2)

# %% [markdown]
# **2.** LayerNorm forgets two things about a token: which? Write `forget(token)` that returns a token (..., D) in which
# *both* are different, but for which LayerNorm gives the same result.


# %%
def check_2(forget):
    torch.manual_seed(0)
    token = torch.randn(5, 32)
    token -= token.mean(dim=1, keepdim=True)
    other = forget(token)
    assert torch.allclose(nn.LayerNorm(32)(token), nn.LayerNorm(32)(other), atol=1e-3), "LayerNorm tells them apart"
    of_both = [[one.mean(dim=1), one.std(dim=1)] for one in (token, other)]
    same = [torch.isclose(before, after, atol=0.1).any() for before, after in zip(*of_both, strict=True)]
    assert not any(same), "one of two things is different; what else could be?"
    print("correct: the mean of its features, and their deviation")


# %% answer
def forget(token):
    return 3 * token + 7  # the scale and the mean of its features


check_2(forget)
