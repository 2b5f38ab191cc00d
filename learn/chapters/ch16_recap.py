# %% [markdown]
# # 16. Recap, and a map for choosing
#
# Which backbone should you take? The honest answer has four more words: *for what, with what*. How many images, how
# much time, which device, how many milliseconds for an answer. This page has no number of its own. It reads what
# the project's benchmarks and the other chapters measured, and puts it side by side. Each row links to its run.

# %%
import json
import math

import numpy as np

from learn.digits import PRESETS
from learn.page import claim, show

ROOT = PRESETS.parent


def measured(name):
    """The rows of a benchmark."""
    return json.loads((ROOT / "benchmarks" / f"{name}.json").read_text(encoding="utf-8"))


def source(name):
    return f"[{name}](../../benchmarks/{name}.json)"


def table(header, rows):
    """Rows of cells as Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "/") for cell in line) + " |" for line in lines)


# %% [markdown]
# ## Data and budget
#
# Two benchmarks give all models about the same training time: small photographs of ten classes with few labels
# (CIFAR-10), and cartoon frames. We collect, for every situation, the accuracy of each model in percent.

# %%
NAMES = {"cnn": "small CNN", "torchvision/resnet18": "ResNet-18", "vit": "ViT", "mae": "ViT, pretrained (MAE)"}
NAMES |= {"dino": "ViT, pretrained (DINO)"}
CLASSES = 10  # of CIFAR-10
labels = measured("few_labels")
photos = {}  # (labels in all, CPU seconds) to method to the accuracies of its seeds
for row in labels:
    at = (row["labels_per_class"] * CLASSES, round(row["cpu_seconds"]))
    photos.setdefault(at, {}).setdefault(row["method"], []).append(100 * row["accuracy"])
frames = {}  # case to its rows, one for each peer
for row in measured("quality"):
    if row["case"].startswith("frames") and "difference" in row:
        frames.setdefault(row["case"], []).append(row)

situations = []
for (count, seconds), methods in sorted(photos.items()):
    scores = {NAMES[method]: float(np.mean(values)) for method, values in methods.items()}
    situations.append((f"photographs, {count:,} labels", seconds, scores, "few_labels"))
for case, rows in frames.items():
    scores = {"ViT, conv stem": rows[0]["ours"]} | {
        NAMES.get(row["peer_name"], row["peer_name"]): row["peer"] for row in rows
    }
    situations.append((f"cartoon {case}", rows[0]["seconds"], scores, "quality"))


def in_order(scores):
    return sorted(scores.items(), key=lambda item: -item[1])


by_data = [
    (what, f"{seconds:,} s", *(f"{name} {score:.1f} %" for name, score in in_order(scores)[:3]), source(file))
    for what, seconds, scores, file in situations
]
for what, seconds, scores, _ in situations:
    print(f"{what}, {seconds:,} s: " + ", ".join(f"{name} {score:.1f}" for name, score in in_order(scores)))

# %% [markdown]
# {{ table(["images", "time per model", "first", "second", "third", "run"], by_data) }}
#
# ViT means the plain one, with patches; it meets only photographs here. On cartoon frames the ViT has a convolutional
# stem. So the picture is not "ViT against CNN", but the best ViT that was tried in each situation against the small
# CNN. "Best" is judged by the same test images, which flatters it a little.
#
# Seconds are of one thread for photographs. For frames they are those that the ViT took on two shared cores; the
# others were planned to take as long ([Little data](../results/little-data.md)). DINO, 250 and 5,000 labels, and 900
# seconds are one seed ([Many images, few labels](../results/few-labels.md)).


# %%
def ahead(what, seconds, scores, file):
    """Points by which the best ViT is ahead of the small CNN, and its 95 % interval."""
    best = max(score for name, score in scores.items() if name.startswith("ViT"))
    difference = best - scores["small CNN"]
    if file == "quality":  # paired, over blocks of frames
        row = next(row for row in frames[what.removeprefix("cartoon ")] if row["peer_name"] == "cnn")
        return difference, row["low"], row["high"]
    shares = best / 100, scores["small CNN"] / 100
    # As if the models saw different images: wider than a paired interval. It does not cover other seeds.
    error = 100 * math.sqrt(sum(share * (1 - share) / labels[0]["test_images"] for share in shares))
    return difference, difference - 1.96 * error, difference + 1.96 * error


leads = {f"{what}, {seconds:,} s": ahead(what, seconds, scores, file) for what, seconds, scores, file in situations}
for situation, (difference, low, high) in leads.items():
    print(f"{situation}: {difference:+.1f} points ({low:+.1f} to {high:+.1f})")


def draw(figure):
    axes = figure.subplots()
    for number, (difference, low, high) in enumerate(leads.values()):
        axes.errorbar(
            difference, -number, xerr=([difference - low], [high - difference]), fmt="o", color="C0", capsize=3
        )
    axes.axvline(0, color="C1", linewidth=1)
    axes.set_yticks(
        [-number for number in range(len(leads))], [name.replace(", ", "\n", 1) for name in leads], fontsize=9
    )
    axes.set(xlabel="points ahead of the small CNN")


_ = show(
    draw,
    "By how many points the best ViT is ahead of the small CNN, or behind it, in each measured situation, with "
    "95 % intervals.",
    height=4.4,
)

# %%
most = max(*(count for count, _ in photos), *(row["images"] for rows in frames.values() for row in rows))
won = [situation for situation, (_, low, _) in leads.items() if low > 0]
lost = [situation for situation, (_, _, high) in leads.items() if high < 0]
claim(
    "tutorials",
    "on a few thousand images a CNN beats a ViT",
    f"of {len(leads)} situations with at most {most:,} "
    f"labelled images the small CNN is clearly ahead in {len(lost)}, the best ViT in {len(won)}",
    holds=not won and len(lost) > len(leads) / 2,
)
gained = {
    at: np.mean(methods["mae"]) - np.mean(methods["vit"]) for at, methods in sorted(photos.items()) if "mae" in methods
}
claim(
    "He et al. 2021",
    "pretraining without labels, by masked autoencoding, beats training the same ViT from scratch",
    "points gained, pretraining included in the time: "
    + ", ".join(f"{points:+.1f} with {count:,} labels in {seconds:,} s" for (count, seconds), points in gained.items()),
    holds=all(points > 0 for points in gained.values()),
    at_any_size=False,
)

# %% [markdown]
# ## Latency
#
# What an answer costs does not depend on what was learned. Each preset's ViT beside the same two networks on images
# of the same size, on two CPU cores: milliseconds for one image.

# %%
latency = {}  # preset to model to ms
for row in measured("cost"):
    preset, _, what = row["case"].partition(", ")
    if what == "answering, 1 at once":
        latency.setdefault(preset, {"ViT": row["ours"]})[NAMES[row["peer_name"]]] = row["peer"]
by_latency = [
    (
        preset,
        *(f"{times[name]:.1f} ms" for name in ("ViT", "small CNN", "ResNet-18")),
        min(times, key=times.get),
        source("cost"),
    )
    for preset, times in latency.items()
]
print(*latency.items(), sep="\n")

# %% [markdown]
# {{ table(["preset", "its ViT", "small CNN", "ResNet-18", "fastest", "run"], by_latency) }}
#
# ## Device
#
# The same optimizer step on two CPU cores and on a GPU ([Training speed](../results/training-speed.md) names both).

# %%
MODELS = ("digits preset", "32x32/4, dim 192, depth 6", "ViT-Ti/16, 224x224")
cpu, gpu = ({row["case"]: row["ours"] for row in measured(name)} for name in ("train", "train_cuda"))
BOTH = f"{source('train')}, {source('train_cuda')}"
by_device = [
    (model, f"{cpu[model]:.0f} ms", f"{gpu[model]:.1f} ms", f"{cpu[model] / gpu[model]:.0f} times", BOTH)
    for model in MODELS
]
times_faster = {model: cpu[model] / gpu[model] for model in MODELS}
print(times_faster)

# %% [markdown]
# {{ table(["model", "CPU, a step", "GPU, a step", "the GPU is faster by", "runs"], by_device) }}
#
# The digits' model is too small to fill a GPU: {{ times_faster[MODELS[0]]:.0f }} times, against
# {{ times_faster[MODELS[1]]:.0f }} and {{ times_faster[MODELS[2]]:.0f }} for the two larger ones.
#
# ## How to read the map
#
# Find the row that is most like your data, then strike out what is too slow. Two rows of different tables are
# different machines and days. And no row is yours: the map tells which two or three models to try first, and
# [How much data?](../guides/how-much-data.md) compares them on your images.
#
# ## The book in one table
#
# For each chapter the first claim that came out true, or else its first claim, as measured.

# %%
recap, verdicts = [], []
for path in sorted((ROOT / "learn" / "outputs").glob("ch*.json")):
    if path.stem == "ch16_recap":
        continue
    chapter = json.loads(path.read_text(encoding="utf-8"))
    claims = chapter["claims"]
    verdicts += [one["verdict"] for one in claims]
    best = next((one for one in claims if one["verdict"] == "true"), claims[0])
    title = chapter["cells"][0]["text"].partition("\n")[0].removeprefix("# ")
    recap.append((f"[{title}]({path.stem}.md)", best["says"], best["measured"], f"**{best['verdict']}**"))
counts = {verdict: verdicts.count(verdict) for verdict in ("true", "false", "not at this size")}
print(f"{len(recap)} chapters, {len(verdicts)} claims: {counts}")

# %% [markdown]
# {{ table(["chapter", "claim", "measured", "verdict"], recap) }}
#
# Of {{ len(verdicts) }} claims {{ counts["true"] }} came out true, {{ counts["false"] }} false, and
# {{ counts["not at this size"] }} did not hold at this size. [All of them](claims.md).
#
# ## Exercises
#
# **1.** With 1,000 labels, in which of the budgets does masked pretraining pay for itself against the same ViT without
# it? Give the seconds as a list: `check_1([...])`.


# %%
def check_1(seconds):
    pays = [at[1] for at, points in gained.items() if at[0] == 1000 and points > 0]
    assert sorted(seconds) == pays, "compare mae and vit at equal seconds"
    print("correct: what pretraining learns has to be paid for before it earns")


# %% answer
check_1([900])

# %% [markdown]
# **2.** Write `choose(models, limit)`: of `models`, a list of (name, accuracy, ms), the name of the most accurate that
# answers within `limit` ms, or None if none does. We try it on the cartoon frames, with accuracy and latency from two
# benchmarks.


# %%
def check_2(choose):
    scores, times = (
        situations[[what for what, *_ in situations].index("cartoon frames, 5 block folds")][2],
        latency["tom_and_jerry"],
    )
    models = [("ViT", scores["ViT, conv stem"], times["ViT"])]
    models += [(name, scores[name], times[name]) for name in ("small CNN", "ResNet-18")]
    for limit in (0.0, *sorted(times.values())):
        within = [model for model in models if model[2] <= limit]
        best = max((model[1] for model in within), default=None)
        assert choose(models, limit) == next((model[0] for model in within if model[1] == best), None), f"{limit} ms"
    print("correct")


# %% answer
def choose(models, limit):
    within = [(accuracy, name) for name, accuracy, ms in models if ms <= limit]
    return max(within)[1] if within else None


check_2(choose)
