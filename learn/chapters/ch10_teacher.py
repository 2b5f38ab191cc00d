# %% [markdown]
# # 10. A teacher
#
# A label says: this is an 8. A trained model says more: mostly an 8, a little a 3, hardly a 4. Those small numbers
# hold what the label leaves out, which classes look alike, and Hinton called them *dark knowledge*. **A student may
# learn from a teacher's answers instead of from labels alone.** DeiT used this to train ViTs without hundreds of
# millions of images: its teacher was a CNN, and it gave the student a token of its own to learn from it.
#
# We train a small CNN on 300 digits, look at what it knows in the dark, and teach a small ViT with it. The loss
# is the project's ([[vit.training.distillation.training_loss]]); `train.teacher` and `train.distillation` in
# params.yaml do the same with your data.

# %%
import numpy as np
import torch
import torch.nn.functional as F

from learn.digits import digits, new_classifier
from learn.page import claim, shortened, show
from learn.teaching import as_teacher, heads, teach, token_cosines
from learn.training import accuracy, fit, recipe
from vit.data.batches import Packed
from vit.evaluation.explain import model_input
from vit.training.distillation import training_loss

data = digits()
FEW, STEPS = 300, shortened(400, to=2)


def part_of(part, chosen):
    return Packed(part.images[chosen], part.labels[chosen])


order = torch.randperm(len(data.train), generator=torch.Generator().manual_seed(0))
few, rest = part_of(data.train, order[:FEW]), part_of(data.train, order[FEW:])
unseen = Packed(torch.cat([rest.images, data.val.images]), torch.cat([rest.labels, data.val.labels]))
teacher = new_classifier(0, name="cnn")
_ = fit(teacher, few, recipe(optimizer="adamw", label_smoothing=0.0), shortened(150, to=2))
taught_by = teacher.logits(unseen.images)
print(f"teacher: {accuracy(teacher, few):.1%} of its {len(few)} images, {accuracy(teacher, unseen):.1%} of", end=" ")
print(f"{len(unseen)} that it has not seen")

# %% [markdown]
# Unless it says otherwise, scores of this chapter are about those {{ len(unseen) }} images: the rest of the train
# split, and val. With so many, 3 points between two shares are no longer chance (two standard errors of their
# difference).
#
# ## Dark knowledge, in a table
#
# On most images the teacher is so sure that its other nine probabilities vanish. A *temperature* T brings them out:
# divide the logits by T before the softmax. Here is the image on which it is least sure:

# %%
doubtful = taught_by.softmax(dim=1).amax(dim=1).argmin()
print(f"label {unseen.labels[doubtful]}; the teacher's probabilities of 0 to 9 in %")
for T in (1, 4, 16):
    print(f"T = {T:2}:", (100 * (taught_by[doubtful] / T).softmax(dim=0)).round().int().tolist())

T = 4.0
soft = (taught_by / T).softmax(dim=1)
dark = torch.stack([soft[unseen.labels == digit].mean(dim=0) for digit in range(10)])  # (10 classes, 10 answers)
dark.fill_diagonal_(0)
dark = dark / dark.sum(dim=1, keepdim=True)  # what goes to wrong classes, by class
print("\nof what the teacher gives to wrong classes, % for each answer; a row is what the image shows")
print("   " + " ".join(f"{digit:3}" for digit in range(10)))
for digit, row in enumerate(dark):
    print(f"{digit}: " + " ".join("  ." if other == digit else f"{100 * one:3.0f}" for other, one in enumerate(row)))


def draw(figure):
    axes = figure.subplots()
    image = axes.imshow(100 * dark.where(dark > 0, torch.nan), cmap="viridis")
    axes.set(xlabel="answer", ylabel="what the image shows", xticks=range(10), yticks=range(10))
    figure.colorbar(image, label="% of what goes to wrong classes")


_ = show(draw, "A table of ten by ten digits: how the teacher's probability is shared among the wrong classes.", 3.8)

# %% [markdown]
# No label says such a thing: the teacher's second thought at an 8 is {{ dark[8].argmax() }}, at a 3
# {{ dark[3].argmax() }}, at a 7 {{ dark[7].argmax() }}. If that is knowledge and not noise, it should agree with what
# can be seen in the images themselves. Take the mean image of each class, and compare how similar two of them are with
# how much the teacher gives to one at the sight of the other.

# %%
means = torch.stack([unseen.images[unseen.labels == digit].float().mean(dim=0).flatten() for digit in range(10)])
alike = F.cosine_similarity(means[:, None], means, dim=-1)
off = ~torch.eye(10, dtype=torch.bool)
correlation = np.corrcoef(alike[off], dark[off].log())[0, 1]
claim(
    "Hinton et al. 2015, section 1",
    "a teacher's probabilities of wrong classes say which classes look alike",
    f"over the 90 pairs of digits, similarity of the mean images and the logarithm of the teacher's share correlate by "
    f"{correlation:.2f}",
    holds=correlation > 0.3,
)

# %% [markdown]
# ## A token for the teacher
#
# DeiT puts a second token beside the class token, the *distillation token*, with a head of its own. The class token's
# head learns from labels, the other's from the teacher. The prediction is the mean of both
# ([[vit.models.vision_transformer.VisionTransformer]] with `distilled`). The teacher's part of the loss comes in two
# kinds:
#
# - **soft**: match the teacher's probabilities at a temperature, after Hinton.
# - **hard**: take the class that the teacher predicts as a second label. Not the true one: the augmented image is
#   shown to both, and where a shift has cut an 8 in half, the teacher may say 3.
#
# Each student has the same {{ FEW }} images, recipe and number of steps. Two seeds each.

# %%
SHAPE = {"patch_size": 2, "embed_dim": 64, "depth": 2, "num_heads": 4, "mlp_ratio": 2.0}
SEEDS = range(shortened(2, to=1))
BASE = {"label_smoothing": 0.0}


def distilled(kind, seed):
    student = new_classifier(seed, **SHAPE, distilled=True)
    settings = recipe(**BASE, teacher="weights/cnn", distillation=kind)  # half of the loss is the teacher's
    teach(student, few, settings, STEPS, as_teacher(teacher, student))
    return student


def alone(seed):
    student = new_classifier(seed, **SHAPE)
    _ = fit(student, few, recipe(**BASE), STEPS)
    return student


def right(logits):
    return (logits.argmax(dim=1) == unseen.labels).float().mean().item()


def agreement(logits, others):
    return (logits.argmax(dim=1) == others.argmax(dim=1)).float().mean().item()


students = {"none": [alone(seed) for seed in SEEDS]}
students |= {kind: [distilled(kind, seed) for seed in SEEDS] for kind in ("soft", "hard")}
scores = {kind: np.mean([right(one.logits(unseen.images)) for one in group]) for kind, group in students.items()}
agrees = {
    kind: np.mean([agreement(one.logits(unseen.images), taught_by) for one in group])
    for kind, group in students.items()
}
for kind in students:
    print(f"teacher {kind}: {scores[kind]:.1%} correct, {agrees[kind]:.1%} as the teacher says")

# %%
CLEAR = 0.03
claim(
    "Touvron et al. 2021 (DeiT), table 3",
    "a ViT learns more from a teacher and labels than from labels alone",
    f"{scores['none']:.1%} of unseen images without, {scores['soft']:.1%} with soft and {scores['hard']:.1%} with hard "
    f"distillation; the teacher has {accuracy(teacher, unseen):.1%}",
    holds=max(scores["soft"], scores["hard"]) > scores["none"] + CLEAR,
    at_any_size=False,
)
claim(
    "Touvron et al. 2021 (DeiT), table 3",
    "hard distillation is better than soft",
    f"{scores['hard']:.1%} against {scores['soft']:.1%}",
    holds=scores["hard"] > scores["soft"] + CLEAR,
    at_any_size=False,
)
claim(
    "Touvron et al. 2021 (DeiT), table 4",
    "a distilled ViT predicts more like its teacher than one that learned from labels only",
    f"{agrees['hard']:.1%} of predictions are the teacher's with hard distillation, {agrees['none']:.1%} without",
    holds=agrees["hard"] > agrees["none"] + CLEAR,
    at_any_size=False,
)

# %%
sure = {}
for name, part in {"its own training images": few, "unseen images": unseen}.items():
    given = teacher.logits(part.images).softmax(dim=1)
    sure[name] = given.gather(1, part.labels[:, None]).mean().item()
    print(f"on {name} the teacher gives the true class {sure[name]:.1%} on average")

# %% [markdown]
# What can this teacher add? Its own training images, which are the students' too, it knows by heart: there it repeats
# the label, but for {{ 1 - sure["its own training images"]:.1%}}. It says something new only where augmentation makes
# an image that it has not seen. DeiT's teacher had over a million images, and the student 300 epochs or more.
#
# ## Two tokens, two opinions?
#
# Both tokens run through the same blocks. Do they become the same? We compare the predictions of their heads, and
# the tokens themselves, with their positions, by the cosine between them.

# %%
both = [heads(one, unseen.images) for one in students["hard"]]  # each (2, images, classes)
by_class, by_teacher, mean = (
    np.mean([right(logits) for logits in group])
    for group in ([one[0] for one in both], [one[1] for one in both], [one.mean(dim=0) for one in both])
)
same = np.mean([agreement(*one) for one in both])
print(f"class token's head {by_class:.1%}, distillation token's {by_teacher:.1%}, the mean of both {mean:.1%} correct")
print(f"the two heads agree on {same:.1%} of the images")
x = model_input(students["hard"][0], unseen.images)
cosines = np.mean([token_cosines(one.model, x) for one in students["hard"]], axis=0)
print("cosine between the two tokens, before the first block and after each:", cosines.round(2))
claim(
    "Touvron et al. 2021 (DeiT), table 3",
    "the distillation token's head is better than the class token's, and both together are best",
    f"{by_class:.1%} with the class token, {by_teacher:.1%} with the distillation token, {mean:.1%} with both",
    holds=mean >= by_teacher > by_class,
    at_any_size=False,
)
claim(
    "Touvron et al. 2021 (DeiT), section 4",
    "the two tokens start apart and become similar towards the last layer, but not equal",
    f"cosine {cosines[0]:.2f} before the first block and {cosines[-1]:.2f} after the last (DeiT: 0.06 and 0.93)",
    holds=cosines[0] < cosines[-1] < 0.99,
    at_any_size=False,
)

# %% [markdown]
# ## A digit never seen
#
# The strongest experiment is Hinton's. Hide all threes from the student. It learns from the teacher's probabilities
# alone, on images of the nine other digits: no labels, no images of a three. What it can know about
# threes is what the teacher's small numbers say: *this 8 has a bit of a three, this 1 has none.* As no labels are
# needed, the student may use the whole train split. Beside it, for comparison, a student of the labels of the same
# images, for which "three" is an answer that is always wrong.

# %%
HIDDEN = 3
without = part_of(data.train, data.train.labels != HIDDEN)
from_labels, from_teacher = (new_classifier(0, **SHAPE) for _ in range(2))
_ = fit(from_labels, without, recipe(**BASE), STEPS)
settings = recipe(**BASE, teacher="weights/cnn", distillation="soft", distillation_temperature=T)
only_teacher = settings.model_copy(update={"distillation_alpha": 1.0})  # params.yaml always keeps a share for labels
teach(from_teacher, without, only_teacher, STEPS, as_teacher(teacher, from_teacher))


def best_bias(logits, labels):
    """What to add to the logit of the hidden class for the most correct predictions; the smallest, if several."""
    added = torch.arange(0, 30, 0.25)[:, None, None] * F.one_hot(torch.tensor(HIDDEN), 10)
    return added[((logits + added).argmax(dim=2) == labels).sum(dim=1).argmax(), 0]


found, others = {}, {}
is_hidden = rest.labels == HIDDEN
for name, student in {"labels": from_labels, "teacher": from_teacher}.items():
    bias = best_bias(student.logits(data.val.images), data.val.labels)
    logits = student.logits(rest.images)
    for how, predicted in {"as it is": logits.argmax(1), "with a bias": (logits + bias).argmax(1)}.items():
        correct = predicted == rest.labels
        found[name, how], others[name, how] = (correct[one].float().mean().item() for one in (is_hidden, ~is_hidden))
        print(f"student of the {name:7} {how:11}: {found[name, how]:5.1%} of threes, {others[name, how]:.1%} of others")
    print(f"  bias chosen on val: {bias[HIDDEN]:.2f}")

# %% [markdown]
# A bias for one class is a single number: since threes never came, the student believes them rare. Hinton raised it
# until the score was best. We choose it on val, and count on the {{ int(is_hidden.sum()) }} threes of the train split
# that the teacher did not learn from either. The other digits there were the student's own lesson, so its share of them
# flatters it.

# %%
claim(
    "Hinton et al. 2015, section 3",
    "a student of soft targets recognizes a class of which it never saw an image, once its bias is corrected",
    f"{found['teacher', 'as it is']:.0%} of the threes as it is and {found['teacher', 'with a bias']:.0%} with a bias "
    f"(Hinton: 98.6 %); a student of labels {found['labels', 'with a bias']:.0%} with a bias",
    holds=found["teacher", "with a bias"] > 0.5 and found["labels", "with a bias"] < found["teacher", "with a bias"],
    at_any_size=False,
)

# %% [markdown]
# ## Exercises
#
# **1.** A teacher's logits are 6, 3 and 0. What probability does the second class get at T = 1, and what at T = 3? Give
# both to two digits after the point: `check_1(at_1, at_3)`.


# %%
def check_1(at_1, at_3):
    logits = torch.tensor([6.0, 3.0, 0.0])
    for T, given in ((1, at_1), (3, at_3)):
        real = (logits / T).softmax(dim=0)[1].item()
        assert abs(given - real) < 0.006, f"at T = {T}: divide the logits by T, then e to the power of each"
    print("correct: the order stays, the differences shrink")


# %% answer
check_1(0.05, 0.24)

# %% [markdown]
# **2.** Write `soft_loss(student, teacher, T)` for logits (B, K): T squared times the mean over images of
# KL(softmax(teacher / T), softmax(student / T)).


# %%
def check_2(soft_loss):
    torch.manual_seed(0)
    student, teacher = torch.randn(2, 8, 10)
    for T in (1.0, 4.0):
        train = only_teacher.model_copy(update={"distillation_temperature": T})
        expected = training_loss(student, torch.zeros(8, dtype=torch.long), teacher, train) / 8
        assert torch.isclose(soft_loss(student, teacher, T), expected, atol=1e-6), f"not so at T = {T}"
    print("correct: T squared keeps the gradients' size, as dividing by T shrinks them twice")


# %% answer
def soft_loss(student, teacher, T):
    said, meant = (student / T).log_softmax(dim=1), (teacher / T).softmax(dim=1)
    return T**2 * (meant * (meant.log() - said)).sum(dim=1).mean()


check_2(soft_loss)
